"""Event archive: even if processes die, each event is archived once and only then deleted locally."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from marquee.errors import ArchiveError
from marquee.events import Event, Exposure, Feedback, deduplicate, encode
from pipelines.commands.archive import archive_events
from service.telemetry import EventWriter, TelemetrySettings, parquet_archive
from service.telemetry.parquet_archive import ArchiveStore, archive_segments, read_archive
from service.telemetry.reader import SkippedLines, read_events

ROOT = Path(__file__).parents[3]
EXPOSURE = Exposure("r1", 1.5, None, "stable", "7", "folded", ("i1", "ü"), 250)
EVENTS: list[Event] = [
    EXPOSURE,
    Exposure("r2", 2.5, "ann", "canary", "8", "personal", (), 90),
    Feedback("e1", 3.5, "ann", "i1", "rating", 4.5, "r1"),
    Feedback("e2", 4.5, "zoë", "i2", "watch", 90.0),
]
DAY_MS = 1_764_028_800_000  # 2025-11-25


def make_click(event_id: str) -> Feedback:
    return Feedback(event_id, 1.0, "ann", "i1", "click", 1.0)


def write_segment(
    folder: Path, kind: str, lines: list[bytes], *, started_ms: int = DAY_MS, torn_line: bytes = b""
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{started_ms}-000001.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + torn_line)
    return path


def write_all(folder: Path) -> None:
    for kind, event_type in (("exposure", Exposure), ("feedback", Feedback)):
        write_segment(
            folder / "r", kind, [encode(event) for event in EVENTS if isinstance(event, event_type)]
        )


@pytest.fixture
def events(tmp_path: Path) -> Path:
    write_all(tmp_path / "events")
    return tmp_path / "events"


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return ArchiveStore(str(tmp_path / "archive"))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """URL of a bucket on a local S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="events")
    yield "s3://events/archive"
    patch.undo()
    server.stop()


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/archive"
    bucket_url: str = request.getfixturevalue("bucket")
    return bucket_url


def test_archived_events_equal_the_originals(events: Path, url: str) -> None:
    summary = archive_segments(events, ArchiveStore(url))
    assert (summary.segments, summary.events, summary.skipped_lines) == (2, 4, 0)
    assert list(read_archive(url)) == EVENTS
    assert list(read_events(events)) == []


def test_archive_of_schema_version_1_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "exposure" / "day=2025-11-25"
    folder.mkdir(parents=True)
    row = asdict(EXPOSURE)
    row["rung"] = row.pop("fallback_level")
    pq.write_table(pa.Table.from_pylist([row]), folder / "one-1-000001.parquet")
    assert list(read_archive(str(tmp_path))) == [EXPOSURE]


def test_files_are_named_by_kind_day_and_segment(events: Path, store: ArchiveStore, tmp_path: Path) -> None:
    archive_segments(events, store)
    names = sorted(str(path.relative_to(tmp_path / "archive")) for path in tmp_path.rglob("*.parquet"))
    assert names == [
        f"exposure/day=2025-11-25/r-{DAY_MS}-000001.parquet",
        f"feedback/day=2025-11-25/r-{DAY_MS}-000001.parquet",
    ]


def test_archiving_twice_duplicates_nothing(events: Path, url: str) -> None:
    archive_segments(events, ArchiveStore(url))
    write_all(events)  # as if the process had died before deleting them
    archive_segments(events, ArchiveStore(url))
    assert sorted(map(str, read_archive(url))) == sorted(map(str, EVENTS))


def test_torn_and_invalid_lines_are_skipped_and_kept(tmp_path: Path, store: ArchiveStore) -> None:
    events = tmp_path / "events"
    line = encode(EVENTS[2])
    path = write_segment(events / "r", "feedback", [line, b"{}"], torn_line=line[:40])
    skipped = SkippedLines()
    assert list(read_events(events, skipped)) == [EVENTS[2]]
    assert (skipped.torn, skipped.invalid) == (1, 1)
    summary = archive_segments(events, store)
    assert (summary.events, summary.skipped_lines) == (1, 2)
    assert (events / "r" / f"{path.name}.torn").read_bytes() == b"{}\n" + line[:40]


def test_open_segment_of_running_process_is_not_archived(tmp_path: Path, store: ArchiveStore) -> None:
    writer = EventWriter(TelemetrySettings(tmp_path / "events", "r", sync_interval_s=0.01))
    writer.start()
    writer.offer_exposure(encode(EXPOSURE))
    while not writer.snapshot_counters().exposure.durable:
        time.sleep(0.01)
    assert archive_segments(tmp_path / "events", store).segments == 0
    writer.close()
    assert archive_segments(tmp_path / "events", store).events == 1


def test_open_segment_of_dead_process_is_archived(tmp_path: Path, store: ArchiveStore) -> None:
    path = write_segment(tmp_path / "events" / "r", "exposure", [encode(EXPOSURE)])
    path.rename(path.with_name(path.name + ".open"))
    assert archive_segments(tmp_path / "events", store).events == 1


def test_expired_files_are_deleted(tmp_path: Path, url: str) -> None:
    store, now = ArchiveStore(url), datetime.now(UTC)
    for number, age_days in enumerate((0, 6, 8)):
        started_ms = int((now - timedelta(days=age_days)).timestamp() * 1000)
        line = encode(make_click(f"old-{number}"))
        write_segment(tmp_path / "events" / "r", "feedback", [line], started_ms=started_ms)
    archive_segments(tmp_path / "events", store)
    n_files = len(store.list_files("feedback"))
    assert archive_segments(tmp_path / "events", store, keep_days=7).expired_files >= 1
    remaining = {event.event_id for event in read_archive(url) if isinstance(event, Feedback)}
    assert {"old-0", "old-1"} <= remaining
    assert "old-2" not in remaining
    assert len(store.list_files("feedback")) < n_files


def test_failing_store_keeps_all_segments(events: Path, store: ArchiveStore, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file in place of the folder")
    before = {path.name: path.read_bytes() for path in events.rglob("*.jsonl")}
    with pytest.raises(ArchiveError, match="remaining segment files are kept"):
        archive_segments(events, store)
    assert {path.name: path.read_bytes() for path in events.rglob("*.jsonl")} == before


def test_truncated_upload_is_detected(
    events: Path, store: ArchiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem = type(store.filesystem)
    put_file = filesystem.put_file

    def truncate(self: object, local: str, remote: str) -> None:
        put_file(self, local, remote)
        os.truncate(remote, 20)

    monkeypatch.setattr(filesystem, "put_file", truncate)
    with pytest.raises(ArchiveError, match="remaining segment files are kept"):
        archive_segments(events, store)
    assert len(list(events.rglob("*.jsonl"))) == 2


def test_unknown_protocol_is_rejected() -> None:
    with pytest.raises(ArchiveError, match="nowhere"):
        ArchiveStore("nowhere://x")


def test_large_segments_are_archived_in_batches(
    tmp_path: Path, store: ArchiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_archive, "ROWS_PER_BATCH", 7)
    events = [make_click(f"e{number}") for number in range(50)]
    write_segment(tmp_path / "events" / "r", "feedback", [encode(event) for event in events])
    archive_segments(tmp_path / "events", store)
    assert list(read_archive(str(tmp_path / "archive"))) == events


def test_deduplicate_yields_the_first_of_equal_ids() -> None:
    repeated = Feedback("e1", 9.0, "bob", "i9", "click", 1.0)
    assert list(deduplicate([*EVENTS, repeated, EXPOSURE])) == EVENTS


def test_command_prints_a_summary(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive_events(events, str(tmp_path / "archive"), every=None, keep_days=None)
    output = capsys.readouterr().out
    assert "4 events" in output
    assert "2 segment files" in output


def test_segments_started_after_a_given_time_are_kept(events: Path, store: ArchiveStore) -> None:
    assert archive_segments(events, store, before=time.time() - 3600).segments == 0
    assert archive_segments(events, store).segments == 2


ARCHIVER = """
import sys, time
from pathlib import Path
from service.telemetry.parquet_archive import ArchiveStore, archive_segments
while True:
    archive_segments(Path(sys.argv[1]), ArchiveStore(sys.argv[2]))
    time.sleep(0.005)
"""


def start_archiver(events: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ARCHIVER, str(events), url], cwd=ROOT)


@pytest.mark.slow
def test_killed_archiver_loses_and_duplicates_nothing(tmp_path: Path) -> None:
    url, event_ids = str(tmp_path / "archive"), []
    for kill in range(6):
        ids = [f"e{kill}-{n}" for n in range(500)]
        for part in range(10):
            folder = tmp_path / "events" / f"r{part}"
            lines = [encode(make_click(event_id)) for event_id in ids[part::10]]
            write_segment(folder, "feedback", lines, started_ms=DAY_MS + kill)
        event_ids += ids
        with start_archiver(tmp_path / "events", url) as process:
            time.sleep(0.9 + 0.05 * kill)
            os.kill(process.pid, signal.SIGKILL)
    archive_segments(tmp_path / "events", ArchiveStore(url))
    archived = [event.event_id for event in read_archive(url) if isinstance(event, Feedback)]
    assert sorted(archived) == sorted(event_ids)


def test_stopped_archiver_does_not_affect_the_writer(events: Path, tmp_path: Path) -> None:
    with start_archiver(events, str(tmp_path / "archive")) as process:
        os.kill(process.pid, signal.SIGSTOP)
        writer = EventWriter(TelemetrySettings(events, "live", sync_interval_s=0.01))
        writer.start()
        for number in range(1000):
            line = encode(Exposure(f"x{number}", 1.0, "ann", "a", "7", "personal", (), 1))
            assert writer.offer_exposure(line)
        writer.close()
        assert writer.snapshot_counters().exposure.durable == 1000
        process.kill()
