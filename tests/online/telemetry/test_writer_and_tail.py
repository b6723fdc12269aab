"""Event writer and event tail: counters are balanced, and acknowledged feedback survives disk failures."""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from marquee.events import Event, Exposure, Feedback, decode, encode
from service.telemetry import (
    EventCounters,
    EventTail,
    EventWriter,
    TelemetrySettings,
    yield_until_os_error,
)
from service.telemetry.segment_files import SegmentFile

SYNC_INTERVAL_S = 0.02


@pytest.fixture
def settings(tmp_path: Path) -> TelemetrySettings:
    return TelemetrySettings(tmp_path / "events", "r", sync_interval_s=SYNC_INTERVAL_S)


@pytest.fixture
def writer(settings: TelemetrySettings) -> Iterator[EventWriter]:
    writer = EventWriter(settings)
    writer.start()
    yield writer
    writer.close()


def encode_exposure(number: int) -> bytes:
    return encode(Exposure(f"r{number}", 1.0, "ann", "stable", "7", "personal", ("i1", "i2"), 100))


def encode_feedback(event_id: str, item: str = "i1") -> bytes:
    return encode(Feedback(event_id, 1.0, "ann", item, "rating", 4.0))


def store(writer: EventWriter, *event_ids: str) -> int | OSError:
    """Store feedback and wait for the result, as the API does."""
    results: list[Collection[str] | OSError] = []
    done = threading.Event()

    def on_stored(result: Collection[str] | OSError) -> None:
        results.append(result)
        done.set()

    writer.queue_feedback([encode_feedback(event_id) for event_id in event_ids], list(event_ids), on_stored)
    assert done.wait(10)
    assert len(results) == 1
    result = results[0]
    return result if isinstance(result, OSError) else len(result)


def read_all_events(folder: Path) -> list[Event]:
    paths = sorted(folder.rglob("*.jsonl*"))
    return [decode(line) for path in paths for line in path.read_bytes().splitlines()]


def poll_ids(tail: EventTail) -> list[str]:
    return feedback_ids(tail.poll())


def feedback_ids(events: Iterator[Event] | list[Event]) -> list[str]:
    return [event.event_id for event in events if isinstance(event, Feedback)]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("the condition did not hold within 10 s")


def idle_counters(writer: EventWriter) -> EventCounters:
    """Wait until no event is queued, and return the counters."""

    def is_idle() -> bool:
        counters = writer.snapshot_counters()
        return counters.exposure.queued == counters.feedback.queued == 0

    wait_until(is_idle)
    counters = writer.snapshot_counters()
    assert counters.is_balanced
    return counters


def test_exposures_are_written_in_order(writer: EventWriter, settings: TelemetrySettings) -> None:
    for number in range(1000):
        assert writer.offer_exposure(encode_exposure(number))
        assert writer.snapshot_counters().is_balanced
    counters = idle_counters(writer)
    assert (counters.exposure.offered, counters.exposure.durable) == (1000, 1000)
    request_ids = [event.request_id for event in read_all_events(settings.folder)]
    assert request_ids == [f"r{number}" for number in range(1000)]


def test_acknowledged_feedback_is_on_disk(writer: EventWriter, settings: TelemetrySettings) -> None:
    assert store(writer, "e1", "e2") == 2
    assert feedback_ids(read_all_events(settings.folder)) == ["e1", "e2"]


def test_repeated_feedback_is_stored_once(writer: EventWriter, settings: TelemetrySettings) -> None:
    assert store(writer, "e1", "e1", "e2") == 2
    assert store(writer, "e2", "e3") == 1
    assert store(writer, "e1") == 0
    assert len(read_all_events(settings.folder)) == 3
    assert idle_counters(writer).feedback.durable == 6  # a repetition is as durable as the first event


def test_remembered_ids_are_not_stored(writer: EventWriter) -> None:
    writer.remember_event_ids(["e1"])
    assert store(writer, "e1", "e2") == 1


def test_concurrent_requests_share_a_sync(
    settings: TelemetrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    fdatasync = os.fdatasync

    def slow_fdatasync(handle: int) -> None:
        syncs.append(handle)
        time.sleep(0.02)
        fdatasync(handle)

    monkeypatch.setattr(os, "fdatasync", slow_fdatasync)
    writer = EventWriter(settings)
    writer.start()
    done = threading.Semaphore(0)
    for number in range(200):
        writer.queue_feedback([encode_feedback(f"e{number}")], [f"e{number}"], lambda _: done.release())
        time.sleep(0.0005)
    for _ in range(200):
        assert done.acquire(timeout=10)
    writer.close()
    assert len(syncs) < 50
    assert len(read_all_events(settings.folder)) == 200


def test_full_queue_drops_and_counts_exposures(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, max_queued_exposures=10))  # not started: the queue only grows
    accepted = [writer.offer_exposure(encode_exposure(number)) for number in range(12)]
    assert accepted == [True] * 10 + [False] * 2
    counters = writer.snapshot_counters()
    assert (counters.exposure.dropped, counters.exposure.queued) == (2, 10)
    assert counters.is_balanced
    writer.start()
    writer.close()
    assert writer.snapshot_counters().exposure.durable == 10


def test_feedback_beyond_the_limit_is_rejected_at_once(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, max_pending_feedback=3))
    results: list[Collection[str] | OSError] = []
    writer.queue_feedback([encode_feedback("a"), encode_feedback("b")], ["a", "b"], results.append)
    writer.queue_feedback([encode_feedback("c"), encode_feedback("d")], ["c", "d"], results.append)
    assert [type(result) for result in results] == [BlockingIOError]
    assert writer.snapshot_counters().feedback.rejected == 2
    assert writer.snapshot_counters().is_balanced
    writer.start()
    writer.close()
    assert results[1] == {"a", "b"}


def test_segments_rotate_by_size_and_age(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, max_segment_bytes=200, max_segment_age_s=0.1))
    writer.start()
    for number in range(3):
        writer.offer_exposure(encode_exposure(number) * 2)
        idle_counters(writer)
    store(writer, "e1")
    wait_until(lambda: len(list(settings.folder.rglob("feedback-*.jsonl"))) == 1)
    assert len(list(settings.folder.rglob("exposure-*.jsonl"))) == 3
    writer.close()
    assert not list(settings.folder.rglob("*.open"))


def test_writers_with_the_same_name_use_separate_folders(settings: TelemetrySettings) -> None:
    first, second = EventWriter(settings), EventWriter(settings)
    for writer in (first, second):
        writer.start()
    assert [store(first, "a"), store(second, "b")] == [1, 1]
    assert sorted(path.name for path in settings.folder.iterdir()) == ["r", "r-2"]
    first.close()
    second.close()


def test_abandoned_segment_is_closed_unchanged(settings: TelemetrySettings) -> None:
    abandoned = settings.folder / "r" / "feedback-1-000001.jsonl.open"
    abandoned.parent.mkdir(parents=True)
    abandoned.write_bytes(encode_feedback("e1") + b"\n" + encode_feedback("e2")[:-9])
    content = abandoned.read_bytes()
    writer = EventWriter(settings)
    writer.start()
    assert store(writer, "e2") == 1
    writer.close()
    assert (settings.folder / "r" / "feedback-1-000001.jsonl").read_bytes() == content
    assert len(list(settings.folder.rglob("feedback-*.jsonl"))) == 2


def fail_while_set(call: Callable[..., int], code: int, switch: threading.Event) -> Callable[..., int]:
    """Wrap a system call so that it fails with an error code while the switch is set."""

    def wrapped(*args: object) -> int:
        if switch.is_set():
            raise OSError(code, os.strerror(code))
        return call(*args)

    return wrapped


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_disk_failure_is_reported_counted_and_survived(
    settings: TelemetrySettings, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    switch = threading.Event()
    monkeypatch.setattr(os, call, fail_while_set(getattr(os, call), code, switch))
    writer = EventWriter(settings)
    writer.start()
    assert store(writer, "before") == 1
    switch.set()
    result = store(writer, "lost")
    assert isinstance(result, OSError)
    assert result.errno == code
    assert "failing" in writer.write_status
    assert os.strerror(code) in writer.write_status
    writer.offer_exposure(encode_exposure(1))
    wait_until(lambda: writer.snapshot_counters().exposure.dropped == 1)
    switch.clear()
    assert store(writer, "lost", "after") == 2  # not acknowledged, so the client sends it again
    assert writer.write_status == "ok"
    counters = idle_counters(writer)
    assert (counters.feedback.durable, counters.feedback.rejected) == (3, 1)
    writer.close()
    assert sorted(set(poll_ids(EventTail(settings.folder)))) == ["after", "before", "lost"]


def test_partially_written_batch_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = SegmentFile(tmp_path, "feedback", 1)
    segment.append([b"one"])
    write = os.write
    sizes: list[int] = []

    def write_three_bytes_once(handle: int, data: memoryview) -> int:
        sizes.append(len(data))
        if len(sizes) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(handle, data[:3])

    monkeypatch.setattr(os, "write", write_three_bytes_once)
    with pytest.raises(OSError, match="full"):
        segment.append([b"two", b"three"])
    segment.close()
    assert (tmp_path / segment.path.name.removesuffix(".open")).read_bytes() == b"one\n"


def test_empty_segment_is_deleted(tmp_path: Path) -> None:
    SegmentFile(tmp_path, "feedback", 1).close()
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_reported_and_retried(settings: TelemetrySettings, tmp_path: Path) -> None:
    obstacle = tmp_path / "events"
    obstacle.write_text("a file in place of the folder")
    writer = EventWriter(settings)
    writer.start()
    assert isinstance(store(writer, "e1"), OSError)
    assert "failing" in writer.write_status
    obstacle.unlink()
    assert store(writer, "e1") == 1
    assert writer.write_status == "ok"
    writer.close()


def test_series_of_failures_is_logged_once(
    settings: TelemetrySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="marquee.telemetry")
    (tmp_path / "events").write_text("")
    writer = EventWriter(settings)
    writer.start()
    for number in range(5):
        store(writer, f"e{number}")
    (tmp_path / "events").unlink()
    store(writer, "e9")
    writer.close()
    messages = [record.getMessage() for record in caplog.records if record.name == "marquee.telemetry"]
    assert [message.split(" to ")[0].split(" after ")[0] for message in messages] == [
        "cannot write events",
        "writing events again",
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False).returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_loses_no_acknowledged_feedback(small_disk: Path) -> None:
    writer = EventWriter(TelemetrySettings(small_disk / "events", "r", sync_interval_s=SYNC_INTERVAL_S))
    writer.start()
    acknowledged_ids: list[str] = []
    while not isinstance(result := store(writer, f"e{len(acknowledged_ids)}"), OSError):
        acknowledged_ids.append(f"e{len(acknowledged_ids)}")
    assert result.errno == errno.ENOSPC
    assert len(acknowledged_ids) > 100
    assert poll_ids(EventTail(small_disk / "events")) == acknowledged_ids
    for path in small_disk.rglob("feedback-*"):
        path.unlink()  # an operator frees space
    wait_until(lambda: store(writer, "again") == 1)
    assert writer.write_status == "ok"
    writer.close()
    assert writer.snapshot_counters().is_balanced


def test_tail_yields_each_event_once_through_rotation(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, max_segment_bytes=150))
    writer.start()
    tail, event_ids = EventTail(settings.folder), []
    for number in range(30):
        store(writer, f"e{number}")
        if number % 4 == 0:
            event_ids += poll_ids(tail)
    writer.close()
    event_ids += poll_ids(tail)
    assert event_ids == [f"e{number}" for number in range(30)]
    assert list(tail.poll()) == []


def test_tail_waits_for_the_rest_of_a_line_and_counts_invalid_ones(tmp_path: Path) -> None:
    segment = tmp_path / "r" / "feedback-1-000001.jsonl.open"
    segment.parent.mkdir()
    tail = EventTail(tmp_path)
    line = encode_feedback("e1") + b"\n"
    segment.write_bytes(b"{torn\n" + line[:20])
    assert list(tail.poll()) == []
    assert tail.unparsable_lines == 1
    segment.write_bytes(b"{torn\n" + line)
    assert poll_ids(tail) == ["e1"]


def test_unreadable_replica_does_not_hide_other_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for replica in ("a", "b"):
        path = tmp_path / replica / "feedback-1-000001.jsonl.open"
        path.parent.mkdir()
        path.write_bytes(b"".join(encode_feedback(f"{replica}{number}") + b"\n" for number in range(100)))
    tail, is_failing = EventTail(tmp_path), True

    def decode_or_fail(line: bytes) -> Event:
        if is_failing and b'"a50"' in line:
            raise OSError(errno.EIO, "Input/output error")
        return decode(line)

    monkeypatch.setattr("service.telemetry.tail.decode", decode_or_fail)
    errors: list[str] = []
    event_ids = feedback_ids(yield_until_os_error(tail.poll(), errors))
    assert len(errors) == 1
    assert sum(event_id.startswith("b") for event_id in event_ids) == 100
    is_failing = False
    event_ids += feedback_ids(yield_until_os_error(tail.poll(), errors))
    assert sorted(event_ids) == sorted(f"{replica}{number}" for replica in "ab" for number in range(100))


def test_tail_opens_closed_files_once_and_notices_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    closed = [folder / f"feedback-1-{number:06d}.jsonl" for number in range(5)]
    for path in closed:
        path.write_bytes(encode_feedback(path.stem) + b"\n{torn")
    opened: list[Path] = []
    open_file = os.open

    def record_and_open(path: Path, *args: int) -> int:
        opened.append(path)
        return open_file(path, *args)

    monkeypatch.setattr(os, "open", record_and_open)
    tail = EventTail(tmp_path)
    assert poll_ids(tail) == [path.stem for path in closed]
    assert poll_ids(tail) == []
    assert opened == closed
    being_written = folder / "feedback-2-000001.jsonl.open"
    being_written.write_bytes(encode_feedback("new") + b"\n")
    assert poll_ids(tail) == ["new"]


def test_tail_of_missing_folder_is_empty(tmp_path: Path) -> None:
    assert list(EventTail(tmp_path / "none").poll()) == []
