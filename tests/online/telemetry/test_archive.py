"""Sealing: every event arrives once, whatever dies, and nothing is removed here before it is there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from marquee.errors import SealingError
from marquee.events import Event, Exposure, Feedback, encode, once
from pipelines.commands.archive import seal_events
from service.telemetry import EventWriter, TelemetrySettings, archive
from service.telemetry.archive import Sink, read_sealed, seal
from service.telemetry.reader import SetAside, read_events

SHOWN = Exposure("r1", 1.5, None, "stable", "7", "folded", ("i1", "ü"), 250)
EVENTS: list[Event] = [
    SHOWN,
    Exposure("r2", 2.5, "ann", "canary", "8", "personal", (), 90),
    Feedback("e1", 3.5, "ann", "i1", "rating", 4.5, "r1"),
    Feedback("e2", 4.5, "zoë", "i2", "watch", 90.0),
]
DAY_MS = 1_764_028_800_000  # 2025-11-25


def write_segment(
    folder: Path, kind: str, lines: list[bytes], *, started: int = DAY_MS, tail: bytes = b""
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{started}-000001.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + tail)
    return path


def write_all(folder: Path) -> None:
    for kind, event in (("exposure", Exposure), ("feedback", Feedback)):
        write_segment(folder / "r", kind, [encode(each) for each in EVENTS if isinstance(each, event)])


@pytest.fixture
def events(tmp_path: Path) -> Path:
    write_all(tmp_path / "events")
    return tmp_path / "events"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on an S3 server of the loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="events")
    yield "s3://events/sealed"
    patch.undo()
    server.stop()


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("bucket") if request.param == "s3" else f"file://{tmp_path}/sealed"


def test_what_is_sealed_is_read_back_as_it_was(events: Path, url: str) -> None:
    done = seal(events, Sink(url))
    assert (done.segments, done.events, done.set_aside) == (2, 4, 0)
    assert list(read_sealed(url)) == EVENTS
    assert list(read_events(events)) == []


def test_files_are_named_by_kind_day_and_segment(events: Path, tmp_path: Path) -> None:
    seal(events, Sink(str(tmp_path / "sealed")))
    names = sorted(str(path.relative_to(tmp_path / "sealed")) for path in tmp_path.rglob("*.parquet"))
    assert names == [
        f"exposure/day=2025-11-25/r-{DAY_MS}-000001.parquet",
        f"feedback/day=2025-11-25/r-{DAY_MS}-000001.parquet",
    ]


def test_sealing_again_after_a_crash_before_removal_doubles_nothing(events: Path, url: str) -> None:
    seal(events, Sink(url))
    write_all(events)  # as if the process had died before it removed them
    seal(events, Sink(url))
    assert sorted(map(str, read_sealed(url))) == sorted(map(str, EVENTS))


def test_a_torn_tail_and_foreign_lines_are_set_aside_and_kept(tmp_path: Path) -> None:
    events = tmp_path / "events"
    whole = encode(EVENTS[2])
    path = write_segment(events / "r", "feedback", [whole, b"{}"], tail=whole[:40])
    aside = SetAside()
    assert list(read_events(events, aside)) == [EVENTS[2]]
    assert (aside.torn, aside.foreign) == (1, 1)
    done = seal(events, Sink(str(tmp_path / "sealed")))
    assert (done.events, done.set_aside) == (1, 2)
    assert (events / "r" / f"{path.name}.torn").read_bytes() == b"{}\n" + whole[:40]


def test_a_segment_that_is_being_written_stays(tmp_path: Path) -> None:
    writer = EventWriter(TelemetrySettings(tmp_path / "events", "r", sync_every_s=0.01))
    writer.start()
    writer.offer(encode(SHOWN))
    while not writer.books().exposure.durable:
        time.sleep(0.01)
    assert seal(tmp_path / "events", Sink(str(tmp_path / "sealed"))).segments == 0
    writer.close()
    assert seal(tmp_path / "events", Sink(str(tmp_path / "sealed"))).events == 1


def test_a_segment_that_a_dead_process_left_open_is_sealed(tmp_path: Path) -> None:
    path = write_segment(tmp_path / "events" / "r", "exposure", [encode(SHOWN)])
    path.rename(path.with_name(path.name + ".open"))
    assert seal(tmp_path / "events", Sink(str(tmp_path / "sealed"))).events == 1


def test_what_is_older_than_it_is_kept_is_removed(tmp_path: Path, url: str) -> None:
    sink, now = Sink(url), datetime.now(UTC)
    for number, age in enumerate((0, 6, 8)):
        started = int((now - timedelta(days=age)).timestamp() * 1000)
        event = encode(Feedback(f"old-{number}", 1.0, "ann", "i1", "click", 1.0))
        write_segment(tmp_path / "events" / "r", "feedback", [event], started=started)
    seal(tmp_path / "events", sink)
    before = len(sink.names("feedback"))
    assert seal(tmp_path / "events", sink, keep_days=7).expired >= 1
    kept = {event.event_id for event in read_sealed(url) if isinstance(event, Feedback)}
    assert {"old-0", "old-1"} <= kept
    assert "old-2" not in kept
    assert len(sink.names("feedback")) < before


def test_a_sink_that_fails_leaves_everything_here(events: Path, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_text("a file, where a folder should be")
    before = {path.name: path.read_bytes() for path in events.rglob("*.jsonl")}
    with pytest.raises(SealingError, match="stays here"):
        seal(events, Sink(str(tmp_path / "sealed")))
    assert {path.name: path.read_bytes() for path in events.rglob("*.jsonl")} == before


def test_a_file_that_arrives_torn_is_not_taken_for_sealed(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Sink(str(tmp_path / "sealed"))
    put = type(sink.files).put_file

    def torn(self: object, local: str, there: str) -> None:
        put(self, local, there)
        os.truncate(there, 20)

    monkeypatch.setattr(type(sink.files), "put_file", torn)
    with pytest.raises(SealingError):
        seal(events, sink)
    assert len(list(events.rglob("*.jsonl"))) == 2


def test_there_is_no_place_of_an_unknown_kind() -> None:
    with pytest.raises(SealingError, match="nowhere"):
        Sink("nowhere://x")


def test_big_segments_are_sealed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ROWS", 7)
    lines = [encode(Feedback(f"e{number}", 1.0, "ann", "i1", "click", 1.0)) for number in range(50)]
    write_segment(tmp_path / "events" / "r", "feedback", lines)
    seal(tmp_path / "events", Sink(str(tmp_path / "sealed")))
    assert [event.event_id for event in read_sealed(str(tmp_path / "sealed"))] == [f"e{n}" for n in range(50)]


def test_once_gives_each_event_the_first_time(tmp_path: Path) -> None:
    again = Feedback("e1", 9.0, "bob", "i9", "click", 1.0)
    assert list(once([*EVENTS, again, SHOWN])) == EVENTS


def test_the_command_says_what_it_did(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seal_events(events, str(tmp_path / "sealed"), every=None, keep_days=None)
    assert "4 events of 2 segments sealed" in capsys.readouterr().out


SEALER = """
import sys, time
from pathlib import Path
from service.telemetry.archive import Sink, seal
while True:
    seal(Path(sys.argv[1]), Sink(sys.argv[2]))
    time.sleep(0.005)
"""


def test_a_sealer_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    sent: list[str] = []
    command = [sys.executable, "-c", SEALER, str(tmp_path / "events"), str(tmp_path / "sealed")]
    for number in range(6):
        lines = [encode(Feedback(f"e{number}-{n}", 1.0, "ann", "i1", "click", 1.0)) for n in range(500)]
        for part in range(10):
            write_segment(
                tmp_path / "events" / f"r{part}", "feedback", lines[part::10], started=DAY_MS + number
            )
        sent += [f"e{number}-{n}" for n in range(500)]
        with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
            time.sleep(0.9 + 0.05 * number)
            os.kill(process.pid, signal.SIGKILL)
    seal(tmp_path / "events", Sink(str(tmp_path / "sealed")))
    read = [event.event_id for event in read_sealed(str(tmp_path / "sealed")) if isinstance(event, Feedback)]
    assert sorted(read) == sorted(sent)


def test_answers_do_not_feel_a_sink_that_has_stopped(events: Path, tmp_path: Path) -> None:
    """The sealer is another process; while it is stopped, the writer writes on and keeps its books."""
    command = [sys.executable, "-c", SEALER, str(events), str(tmp_path / "sealed")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        writer = EventWriter(TelemetrySettings(events, "live", sync_every_s=0.01))
        writer.start()
        for number in range(1000):
            assert writer.offer(encode(Exposure(f"x{number}", 1.0, "ann", "a", "7", "personal", (), 1)))
        writer.close()
        assert writer.books().exposure.durable == 1000
        process.kill()


def test_what_was_written_since_a_rollout_began_is_left_for_its_controller(
    events: Path, tmp_path: Path
) -> None:
    sink = Sink(str(tmp_path / "sealed"))
    assert seal(events, sink, before=time.time() - 3600).segments == 0
    assert seal(events, sink).segments == 2
