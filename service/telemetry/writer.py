"""The writer: a bounded queue and a thread of its own between the answers and the disk."""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from service.telemetry.counters import Books, Kept
from service.telemetry.segments import ReplicaFolder, Segment
from service.telemetry.settings import TelemetrySettings

log = logging.getLogger("marquee.telemetry")
Done = Callable[[int | OSError], None]  # how many were new, or why they could not be kept


@dataclass(frozen=True)
class _Waiting:
    """Feedback whose sender waits."""

    lines: Sequence[bytes]
    event_ids: Sequence[str]
    done: Done


class _Stream:
    """The segments of one kind of event."""

    def __init__(self, kind: str, settings: TelemetrySettings) -> None:
        self._kind, self._settings = kind, settings
        self._segment: Segment | None = None
        self._number = 0

    def append(self, folder: ReplicaFolder, lines: Sequence[bytes]) -> None:
        if self._segment is None:
            self._number += 1
            self._segment = Segment(folder.path, self._kind, self._number)
        try:
            self._segment.append(lines)
        except OSError:
            # After a failed sync the kernel may have thrown pages away and call the next one a success;
            # and while a file is open, removing it makes no room. The next lines begin another segment.
            with suppress(OSError):
                self.close()
            raise

    def rotate(self) -> None:
        segment = self._segment
        if segment and (
            segment.size >= self._settings.max_bytes or segment.age_s >= self._settings.max_age_s
        ):
            self.close()

    def close(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()


class EventWriter:
    """Takes events from the thread that answers, and puts them on disk.

    `offer`, `store` and `books` are called by one thread, the event loop's. `done` is called by the writer's.
    """

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        self._exposures: deque[bytes] = deque()
        self._feedback: deque[_Waiting] = deque()
        self._offered = [0, 0]  # of each kind; as the next two, written by the offering thread alone
        self._full = 0
        self._refused = 0
        self._account = threading.Lock()  # of the fields below; never held while the disk is asked
        self._taken = [0, 0]  # out of the queue, not on disk yet
        self._durable = [0, 0]
        self._failed = [0, 0]
        self._failing: tuple[float, str] | None = None
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._folder: ReplicaFolder | None = None
        self._streams = (_Stream("exposure", settings), _Stream("feedback", settings))
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="marquee-events", daemon=True)

    def start(self) -> None:
        """Begin to write. A disk that cannot be written shows in `state`, and is tried again and again."""
        self._thread.start()

    def offer(self, line: bytes) -> bool:
        """Take an exposure, or drop and count it where too many wait; never waits itself."""
        self._offered[0] += 1
        if len(self._exposures) >= self._settings.queue:
            self._full += 1
            return False
        self._exposures.append(line)
        return True

    def store(self, lines: Sequence[bytes], event_ids: Sequence[str], done: Done) -> None:
        """Take feedback; `done` is told once all of it is on disk, or why it is not."""
        self._offered[1] += len(lines)
        if sum(len(each.lines) for each in list(self._feedback)) + len(lines) > self._settings.waiting:
            self._refused += len(lines)
            done(BlockingIOError(11, "too much feedback waits for the disk"))
            return
        self._feedback.append(_Waiting(lines, event_ids, done))
        self._wake.set()

    def remember(self, event_ids: Iterable[str]) -> None:
        """Know these events as written already, by another replica or before this start."""
        with self._account:
            self._note_ids(event_ids)

    def books(self) -> Books:
        """What became of every event so far."""
        with self._account:
            exposures = len(self._exposures) + self._taken[0]
            feedback = sum(len(each.lines) for each in list(self._feedback)) + self._taken[1]
            return Books(
                Kept(self._offered[0], self._durable[0], 0, self._full + self._failed[0], exposures),
                Kept(self._offered[1], self._durable[1], self._refused + self._failed[1], 0, feedback),
            )

    def state(self) -> str:
        """Whether the disk takes what it is given, in a line."""
        failing = self._failing
        return "ok" if failing is None else f"failing for {time.monotonic() - failing[0]:.0f} s: {failing[1]}"

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, close the segments, end the thread."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        due = time.monotonic() + self._settings.sync_every_s
        while True:
            closing = self._closing
            if not closing:
                self._wake.wait(max(0.0, due - time.monotonic()))
                self._wake.clear()
            self._write_feedback()
            if closing or time.monotonic() >= due:
                self._write_exposures()
                due = time.monotonic() + self._settings.sync_every_s
            for stream in self._streams:
                with suppress(OSError):  # what is on disk stays there; the next lines begin another segment
                    stream.close() if closing else stream.rotate()
            if closing and not self._feedback:
                break
        if self._folder is not None:
            self._folder.release()

    def _write_exposures(self) -> None:
        with self._account:
            lines = [self._exposures.popleft() for _ in range(len(self._exposures))]
            self._taken[0] = len(lines)
        if lines:
            self._settle(0, len(lines), self._append(0, lines))

    def _write_feedback(self) -> None:
        with self._account:
            waiting = [self._feedback.popleft() for _ in range(len(self._feedback))]
            self._taken[1] = sum(len(each.lines) for each in waiting)
            new = [self._new(each) for each in waiting] if waiting else []
        if not waiting:
            return
        lines = [line for each in new for line in each.values()]
        error = self._append(1, lines) if lines else None
        if error is None:
            with self._account:
                self._note_ids(identity for each in new for identity in each)
        self._settle(1, sum(len(each.lines) for each in waiting), error)
        for each, fresh in zip(waiting, new, strict=True):
            self._tell(each.done, len(fresh) if error is None else error)

    def _new(self, waiting: _Waiting) -> dict[str, bytes]:
        """The lines whose ids were not written yet, the first of each id."""
        fresh: dict[str, bytes] = {}
        for identity, line in zip(waiting.event_ids, waiting.lines, strict=True):
            if identity not in self._recent:
                fresh.setdefault(identity, line)
        return fresh

    def _append(self, kind: int, lines: Sequence[bytes]) -> OSError | None:
        """Write lines and sync; an error is noted, and told once."""
        try:
            if self._folder is None:
                self._folder = ReplicaFolder(self._settings.folder, self._settings.replica)
            self._streams[kind].append(self._folder, lines)
        except OSError as error:
            reason = error.strerror or str(error)
            if self._failing is None:
                self._failing = (time.monotonic(), reason)
                log.error("events cannot be written to %s: %s", self._settings.folder, reason)  # noqa: TRY400
            return error
        if self._failing is not None:
            log.info("events are written again after %.0f s", time.monotonic() - self._failing[0])
            self._failing = None
        return None

    def _settle(self, kind: int, count: int, error: OSError | None) -> None:
        with self._account:
            self._taken[kind] = 0
            (self._durable if error is None else self._failed)[kind] += count

    def _note_ids(self, event_ids: Iterable[str]) -> None:
        for identity in event_ids:
            self._recent[identity] = None
        while len(self._recent) > self._settings.recent:
            self._recent.popitem(last=False)

    @staticmethod
    def _tell(done: Done, result: int | OSError) -> None:
        try:
            done(result)
        except Exception:
            log.exception("nobody could be told what became of feedback")
