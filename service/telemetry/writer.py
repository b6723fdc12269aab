"""Event writer: bounded queues between request handling and a thread that writes to disk."""

import errno
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from service.telemetry.counters import EventCounters, KindCounters
from service.telemetry.segment_files import ReplicaFolder, SegmentFile

log = logging.getLogger("marquee.telemetry")
OnStored: TypeAlias = Callable[
    [Collection[str] | OSError], None
]  # receives the ids of new events, or the error


@dataclass(frozen=True)
class TelemetrySettings:
    """Location of the events, and limits of queues and segment files."""

    folder: Path  # shared by all replicas; each writes to a folder below it
    replica: str
    max_queued_exposures: int = 65_536  # beyond it, exposures are dropped and counted
    max_pending_feedback: int = 10_000  # beyond it, feedback is rejected
    sync_interval_s: float = 0.5  # exposures only; feedback is synced at once, in batches
    max_segment_bytes: int = 64 << 20
    max_segment_age_s: float = 300.0
    max_remembered_ids: int = 100_000  # event ids kept to detect repeated feedback


@dataclass(frozen=True)
class _FeedbackBatch:
    """Feedback of one request that has not been stored yet."""

    lines: Sequence[bytes]
    event_ids: Sequence[str]
    on_stored: OnStored


class _EventStream:
    """Segment files and counters of one kind of event."""

    def __init__(self, kind: str, settings: TelemetrySettings) -> None:
        self._kind, self._settings = kind, settings
        self._segment: SegmentFile | None = None
        self._segment_number = 0
        self.offered = 0  # `offered` and `refused` are written only by the offering thread
        self.refused = 0
        self.in_flight = 0  # taken from the queue, but not on disk yet
        self.durable = 0
        self.failed = 0

    def append(self, folder: ReplicaFolder, lines: Sequence[bytes]) -> None:
        if self._segment is None:
            self._segment_number += 1
            self._segment = SegmentFile(folder.path, self._kind, self._segment_number)
        try:
            self._segment.append(lines)
        except OSError:
            # Continue with a new file: after a failed sync, the kernel may discard pages and still report
            # success for the next sync; and deleting an open file does not free its space.
            with suppress(OSError):
                self.close()
            raise

    def close_if_due(self) -> None:
        """Close the segment file if it is large or old enough; the next lines go to a new file."""
        segment = self._segment
        if segment and (
            segment.size >= self._settings.max_segment_bytes
            or segment.age_s >= self._settings.max_segment_age_s
        ):
            self.close()

    def close(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()


class EventWriter:
    """Accepts events in the thread of the event loop, and writes them to disk in its own thread.

    Call `offer_exposure`, `queue_feedback` and `snapshot_counters` in the thread of the event loop only.
    The callback of `queue_feedback` runs in the writer's thread.
    """

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        self._exposure_queue: deque[bytes] = deque()
        self._feedback_queue: deque[_FeedbackBatch] = deque()
        self._exposures = _EventStream("exposure", settings)
        self._feedback = _EventStream("feedback", settings)
        self._lock = threading.Lock()  # guards counters, queues and ids; never held during disk access
        self._remembered_ids: OrderedDict[str, None] = OrderedDict()
        self._folder: ReplicaFolder | None = None
        self._failure: tuple[float, str] | None = None  # monotonic start, reason
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="marquee-events", daemon=True)

    def start(self) -> None:
        """Start the thread. If the disk cannot be written, writing is retried; see `write_status`."""
        self._thread.start()

    def offer_exposure(self, line: bytes) -> bool:
        """Queue an exposure and return True, or drop and count it if the queue is full. Never blocks."""
        self._exposures.offered += 1
        if len(self._exposure_queue) >= self._settings.max_queued_exposures:
            self._exposures.refused += 1
            return False
        self._exposure_queue.append(line)
        return True

    def queue_feedback(self, lines: Sequence[bytes], event_ids: Sequence[str], on_stored: OnStored) -> None:
        """Queue feedback and return at once; the callback receives the outcome.

        Args:
            lines: encoded events.
            event_ids: event ids in the same order; an event whose id is already stored is not stored again.
            on_stored: called with the ids of the new events once all are on disk, or with the error.
        """
        self._feedback.offered += len(lines)
        if self._count_queued_feedback() + len(lines) > self._settings.max_pending_feedback:
            self._feedback.refused += len(lines)
            on_stored(BlockingIOError(errno.EAGAIN, "too much feedback is waiting to be written to disk"))
            return
        self._feedback_queue.append(_FeedbackBatch(lines, event_ids, on_stored))
        self._wake.set()

    def remember_event_ids(self, event_ids: Iterable[str]) -> None:
        """Treat these events as stored: another replica stored them, or this one did before a restart."""
        with self._lock:
            self._add_ids(event_ids)

    def snapshot_counters(self) -> EventCounters:
        """Return a consistent copy of the event counters since the start."""
        with self._lock:
            exposures, feedback = self._exposures, self._feedback
            return EventCounters(
                exposure=KindCounters(
                    offered=exposures.offered,
                    durable=exposures.durable,
                    dropped=exposures.refused + exposures.failed,
                    queued=len(self._exposure_queue) + exposures.in_flight,
                ),
                feedback=KindCounters(
                    offered=feedback.offered,
                    durable=feedback.durable,
                    rejected=feedback.refused + feedback.failed,
                    queued=self._count_queued_feedback() + feedback.in_flight,
                ),
            )

    @property
    def write_status(self) -> str:
        """`ok`; while events cannot be written, for how long and why."""
        if self._failure is None:
            return "ok"
        since, reason = self._failure
        return f"failing for {time.monotonic() - since:.0f} s: {reason}"

    def close(self, timeout_s: float = 5.0) -> None:
        """Write all queued events, close the segment files and stop the thread; wait at most `timeout_s`."""
        self._is_closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        next_sync = time.monotonic() + self._settings.sync_interval_s
        while True:
            is_closing = self._is_closing
            if not is_closing:
                self._wake.wait(max(0.0, next_sync - time.monotonic()))
                self._wake.clear()
            self._write_feedback()
            if is_closing or time.monotonic() >= next_sync:
                self._write_exposures()
                next_sync = time.monotonic() + self._settings.sync_interval_s
            for stream in (self._exposures, self._feedback):
                with suppress(OSError):  # synced lines stay on disk; the next lines go to a new file
                    if is_closing:
                        stream.close()
                    else:
                        stream.close_if_due()
            if is_closing and not self._feedback_queue:
                break
        if self._folder is not None:
            self._folder.release()

    def _write_exposures(self) -> None:
        with self._lock:
            lines = [self._exposure_queue.popleft() for _ in range(len(self._exposure_queue))]
            self._exposures.in_flight = len(lines)
        if lines:
            self._count_written(self._exposures, len(lines), self._append(self._exposures, lines))

    def _write_feedback(self) -> None:
        with self._lock:
            batches = [self._feedback_queue.popleft() for _ in range(len(self._feedback_queue))]
            self._feedback.in_flight = sum(len(batch.lines) for batch in batches)
            new_lines = [self._select_new(batch) for batch in batches]
        if not batches:
            return
        lines = [line for new in new_lines for line in new.values()]
        error = self._append(self._feedback, lines) if lines else None
        if error is None:
            with self._lock:
                self._add_ids(event_id for new in new_lines for event_id in new)
        self._count_written(self._feedback, sum(len(batch.lines) for batch in batches), error)
        for batch, new in zip(batches, new_lines, strict=True):
            _notify(batch.on_stored, new.keys() if error is None else error)

    def _select_new(self, batch: _FeedbackBatch) -> dict[str, bytes]:
        """Return the first line of each event id that is not stored yet, by id."""
        new: dict[str, bytes] = {}
        for event_id, line in zip(batch.event_ids, batch.lines, strict=True):
            if event_id not in self._remembered_ids:
                new.setdefault(event_id, line)
        return new

    def _append(self, stream: _EventStream, lines: Sequence[bytes]) -> OSError | None:
        """Write and sync lines; return the error or None. A series of failures is logged only once."""
        try:
            if self._folder is None:
                self._folder = ReplicaFolder(self._settings.folder, self._settings.replica)
            stream.append(self._folder, lines)
        except OSError as error:
            reason = error.strerror or str(error)
            if self._failure is None:
                self._failure = (time.monotonic(), reason)
                log.error("cannot write events to %s: %s", self._settings.folder, reason)  # noqa: TRY400
            return error
        if self._failure is not None:
            log.info("writing events again after %.0f s", time.monotonic() - self._failure[0])
            self._failure = None
        return None

    def _count_written(self, stream: _EventStream, n_events: int, error: OSError | None) -> None:
        with self._lock:
            stream.in_flight = 0
            if error is None:
                stream.durable += n_events
            else:
                stream.failed += n_events

    def _count_queued_feedback(self) -> int:
        return sum(len(batch.lines) for batch in list(self._feedback_queue))

    def _add_ids(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self._remembered_ids[event_id] = None
        while len(self._remembered_ids) > self._settings.max_remembered_ids:
            self._remembered_ids.popitem(last=False)


def _notify(on_stored: OnStored, result: Collection[str] | OSError) -> None:
    try:
        on_stored(result)
    except Exception:
        log.exception("callback for stored feedback failed")
