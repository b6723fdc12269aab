"""The event writer: the books balance, what was acknowledged is on disk, and the disk may fail."""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from marquee.events import Event, Exposure, Feedback, decode, encode
from service.telemetry import Books, EventWriter, Follower, TelemetrySettings, readable, tail
from service.telemetry import segments as on_disk
from service.telemetry.segments import Segment

SOON = 0.02


@pytest.fixture
def settings(tmp_path: Path) -> TelemetrySettings:
    return TelemetrySettings(tmp_path / "events", "r", sync_every_s=SOON)


@pytest.fixture
def writer(settings: TelemetrySettings) -> Iterator[EventWriter]:
    writer = EventWriter(settings)
    writer.start()
    yield writer
    writer.close()


def exposure(number: int) -> bytes:
    return encode(Exposure(f"r{number}", 1.0, "ann", "stable", "7", "personal", ("i1", "i2"), 100))


def feedback(identity: str, item: str = "i1") -> bytes:
    return encode(Feedback(identity, 1.0, "ann", item, "rating", 4.0))


class Sender:
    """Sends feedback and waits for what becomes of it, as the HTTP layer does."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer

    def send(self, *identities: str) -> int | OSError:
        told: list[int | OSError] = []
        done = threading.Event()

        def tell(result: int | OSError) -> None:
            told.append(result)
            done.set()

        self._writer.store([feedback(each) for each in identities], list(identities), tell)
        assert done.wait(10)
        assert len(told) == 1
        return told[0]


def written(folder: Path) -> list[Event]:
    paths = sorted(folder.rglob("*.jsonl*"))
    return [decode(line) for path in paths for line in path.read_bytes().splitlines()]


def eventually(check: Callable[[], bool]) -> None:
    for _ in range(1000):
        if check():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about within 10 s")


def at_rest(writer: EventWriter) -> Books:
    eventually(lambda: writer.books().exposure.queued == writer.books().feedback.queued == 0)
    books = writer.books()
    assert books.balanced
    return books


def test_exposures_arrive_in_order_without_anybody_waiting(
    writer: EventWriter, settings: TelemetrySettings
) -> None:
    for number in range(1000):
        assert writer.offer(exposure(number))
        assert writer.books().balanced
    books = at_rest(writer)
    assert (books.exposure.offered, books.exposure.durable) == (1000, 1000)
    events = written(settings.folder)
    assert [event.request_id for event in events] == [f"r{number}" for number in range(1000)]


def test_feedback_is_on_disk_when_it_is_acknowledged(
    writer: EventWriter, settings: TelemetrySettings
) -> None:
    assert Sender(writer).send("e1", "e2") == 2
    events = [event for event in written(settings.folder) if isinstance(event, Feedback)]
    assert [event.event_id for event in events] == ["e1", "e2"]


def test_an_event_that_was_stored_is_not_stored_again(
    writer: EventWriter, settings: TelemetrySettings
) -> None:
    sender = Sender(writer)
    assert sender.send("e1", "e1", "e2") == 2
    assert sender.send("e2", "e3") == 1
    assert sender.send("e1") == 0
    assert len(written(settings.folder)) == 3
    assert at_rest(writer).feedback.durable == 6  # a repetition is as durable as what it repeats


def test_events_of_other_replicas_are_known_once_told(writer: EventWriter) -> None:
    writer.remember(["e1"])
    assert Sender(writer).send("e1", "e2") == 1


def test_many_senders_share_a_sync(settings: TelemetrySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    sync = os.fdatasync

    def slow(handle: int) -> None:
        syncs.append(handle)
        time.sleep(0.02)
        sync(handle)

    monkeypatch.setattr(os, "fdatasync", slow)
    writer = EventWriter(settings)
    writer.start()
    done = threading.Semaphore(0)
    for number in range(200):
        writer.store([feedback(f"e{number}")], [f"e{number}"], lambda _: done.release())
        time.sleep(0.0005)
    for _ in range(200):
        assert done.acquire(timeout=10)
    writer.close()
    assert len(syncs) < 50
    assert len(written(settings.folder)) == 200


def test_a_full_queue_drops_and_counts_and_never_waits(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, queue=10))  # not started: nothing leaves the queue
    assert [writer.offer(exposure(number)) for number in range(12)] == [True] * 10 + [False] * 2
    books = writer.books()
    assert (books.exposure.dropped, books.exposure.queued) == (2, 10)
    assert books.balanced
    writer.start()
    writer.close()
    assert writer.books().exposure.durable == 10


def test_too_much_feedback_is_refused_at_once(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, waiting=3))
    told: list[int | OSError] = []
    writer.store([feedback("a"), feedback("b")], ["a", "b"], told.append)
    writer.store([feedback("c"), feedback("d")], ["c", "d"], told.append)
    assert [type(result) for result in told] == [BlockingIOError]
    assert writer.books().feedback.rejected == 2
    assert writer.books().balanced
    writer.start()
    writer.close()
    assert told[1] == 2


def test_segments_rotate_by_size_and_by_age(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, max_bytes=200, max_age_s=0.1))
    writer.start()
    for number in range(3):
        writer.offer(exposure(number) * 2)
        at_rest(writer)
    Sender(writer).send("e1")
    eventually(lambda: len(list(settings.folder.rglob("feedback-*.jsonl"))) == 1)
    assert len(list(settings.folder.rglob("exposure-*.jsonl"))) == 3
    writer.close()
    assert not list(settings.folder.rglob("*.open"))


def test_two_processes_of_one_name_have_two_folders(settings: TelemetrySettings) -> None:
    one, two = EventWriter(settings), EventWriter(settings)
    for writer in (one, two):
        writer.start()
    assert [Sender(one).send("a"), Sender(two).send("b")] == [1, 1]
    assert sorted(path.name for path in settings.folder.iterdir()) == ["r", "r-2"]
    one.close()
    two.close()


def test_a_successor_closes_what_was_left_and_appends_nothing_to_it(settings: TelemetrySettings) -> None:
    left = settings.folder / "r" / "feedback-1-000001.jsonl.open"
    left.parent.mkdir(parents=True)
    left.write_bytes(feedback("e1") + b"\n" + feedback("e2")[:-9])
    before = left.read_bytes()
    writer = EventWriter(settings)
    writer.start()
    assert Sender(writer).send("e2") == 1
    writer.close()
    assert (settings.folder / "r" / "feedback-1-000001.jsonl").read_bytes() == before
    assert len(list(settings.folder.rglob("feedback-*.jsonl"))) == 2


def failing(call: Callable[..., int], error: int, switch: threading.Event) -> Callable[..., int]:
    """A system call that fails while a switch is on."""

    def maybe(*args: object) -> int:
        if switch.is_set():
            raise OSError(error, os.strerror(error))
        return call(*args)

    return maybe


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_fails_is_said_counted_and_recovered_from(
    settings: TelemetrySettings, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    switch = threading.Event()
    monkeypatch.setattr(on_disk.os, call, failing(getattr(os, call), error, switch))
    writer, sender = EventWriter(settings), None
    writer.start()
    sender = Sender(writer)
    assert sender.send("before") == 1
    switch.set()
    result = sender.send("lost")
    assert isinstance(result, OSError)
    assert result.errno == error
    assert "failing" in writer.state()
    assert os.strerror(error) in writer.state()
    writer.offer(exposure(1))
    eventually(lambda: writer.books().exposure.dropped == 1)
    switch.clear()
    assert sender.send("lost", "after") == 2  # it was not acknowledged, so it is sent again
    assert writer.state() == "ok"
    books = at_rest(writer)
    assert (books.feedback.durable, books.feedback.rejected) == (3, 1)
    writer.close()
    kept = [event.event_id for event in Follower(settings.folder).poll()]
    assert sorted(set(kept)) == ["after", "before", "lost"]


def test_half_a_group_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segment(tmp_path, "feedback", 1)
    segment.append([b"one"])
    write = os.write
    calls: list[int] = []

    def half(handle: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(handle, data[:3])

    monkeypatch.setattr(on_disk.os, "write", half)
    with pytest.raises(OSError, match="full"):
        segment.append([b"two", b"three"])
    segment.close()
    assert (tmp_path / segment.path.name.removesuffix(".open")).read_bytes() == b"one\n"


def test_a_segment_without_a_line_leaves_nothing(tmp_path: Path) -> None:
    Segment(tmp_path, "feedback", 1).close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_and_tried_again(
    settings: TelemetrySettings, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "events"
    in_the_way.write_text("a file, where a folder should be")
    writer = EventWriter(settings)
    writer.start()
    assert isinstance(Sender(writer).send("e1"), OSError)
    assert "failing" in writer.state()
    in_the_way.unlink()
    assert Sender(writer).send("e1") == 1
    assert writer.state() == "ok"
    writer.close()


def test_one_incident_is_one_line_in_the_log(
    settings: TelemetrySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="marquee.telemetry")
    (tmp_path / "events").write_text("")
    writer = EventWriter(settings)
    writer.start()
    for number in range(5):
        Sender(writer).send(f"e{number}")
    (tmp_path / "events").unlink()
    Sender(writer).send("e9")
    writer.close()
    messages = [record.getMessage() for record in caplog.records if record.name == "marquee.telemetry"]
    assert [message.split(" to ")[0].split(" after ")[0] for message in messages] == [
        "events cannot be written",
        "events are written again",
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_loses_no_acknowledged_feedback(small_disk: Path) -> None:
    writer = EventWriter(TelemetrySettings(small_disk / "events", "r", sync_every_s=SOON))
    writer.start()
    sender, acknowledged, number = Sender(writer), [], 0
    while True:
        number += 1
        result = sender.send(f"e{number}")
        if isinstance(result, OSError):
            assert result.errno == errno.ENOSPC
            break
        acknowledged.append(f"e{number}")
    assert len(acknowledged) > 100
    assert [event.event_id for event in Follower(small_disk / "events").poll()] == acknowledged
    for path in small_disk.rglob("feedback-*"):
        path.unlink()  # an operator makes room
    eventually(lambda: sender.send("again") == 1)
    assert writer.state() == "ok"
    writer.close()
    assert writer.books().balanced


def test_a_follower_reads_each_line_once_through_rotation(settings: TelemetrySettings) -> None:
    writer = EventWriter(replace(settings, max_bytes=150))
    writer.start()
    follower, sender = Follower(settings.folder), Sender(writer)
    seen = []
    for number in range(30):
        sender.send(f"e{number}")
        if number % 4 == 0:
            seen += [event.event_id for event in follower.poll()]
    writer.close()
    seen += [event.event_id for event in follower.poll()]
    assert seen == [f"e{number}" for number in range(30)]
    assert list(follower.poll()) == []


def test_a_follower_waits_for_the_rest_of_a_line_and_counts_what_is_none(tmp_path: Path) -> None:
    segment = tmp_path / "r" / "feedback-1-000001.jsonl.open"
    segment.parent.mkdir()
    follower = Follower(tmp_path)
    line = feedback("e1") + b"\n"
    segment.write_bytes(b"{torn\n" + line[:20])
    assert list(follower.poll()) == []
    assert follower.unreadable == 1
    segment.write_bytes(b"{torn\n" + line)
    assert [event.event_id for event in follower.poll()] == ["e1"]


def test_what_one_replica_withholds_costs_nobody_elses_events_and_none_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for replica in ("a", "b"):
        path = tmp_path / replica / "feedback-1-000001.jsonl.open"
        path.parent.mkdir()
        path.write_bytes(b"".join(feedback(f"{replica}{number}") + b"\n" for number in range(100)))
    follower, failing = Follower(tmp_path), True
    decode = tail.decode

    def broken(line: bytes) -> Event:
        if failing and b'"a50"' in line:
            raise OSError(5, "Input/output error")
        return decode(line)

    monkeypatch.setattr(tail, "decode", broken)
    troubles: list[str] = []
    seen = [event.event_id for event in readable(follower.poll(), troubles)]
    assert len(troubles) == 1
    assert sum(name.startswith("b") for name in seen) == 100
    failing = False
    seen += [event.event_id for event in readable(follower.poll(), troubles)]
    assert sorted(seen) == sorted(f"{replica}{number}" for replica in "ab" for number in range(100))


def test_a_follower_of_nothing_finds_nothing(tmp_path: Path) -> None:
    assert list(Follower(tmp_path / "none").poll()) == []
