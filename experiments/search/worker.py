"""Search worker: claims trainings from the queue, runs them and stores their results.

The search starts workers on its own machine; other machines join with `marquee search-worker`. Workers
communicate only through the storage, and each one reads the ratings itself.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.evaluation.cross_validation import Folds, fold_seeds
from experiments.search.pruners import reporting_epochs
from experiments.search.specification import WorkerAssignment
from experiments.search.training import train
from experiments.search.training_queue import ClaimedTraining
from experiments.search.training_result import TrainingResult
from experiments.search.training_space import CandidateSpace, candidate_spaces
from marquee.algorithms.threads import ONE_BLAS_THREAD, thread_count
from marquee.errors import MarqueeError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

POLL_SECONDS = 0.05  # between checks of an empty queue
HEARTBEAT_SECONDS = 10.0
MAX_SILENCE_SECONDS = 60.0  # time without a heartbeat after which a worker on another machine counts as dead
MAX_UNNAMED_SECONDS = 5.0  # time between claiming a training and storing the worker's name
START_TIME_FIELD = 22  # of /proc/PID/stat, counted from 1 (proc(5))
STATE_FIELD = 3


def run_worker(
    assignment: WorkerAssignment, *, should_leave: Callable[[], bool], max_threads: int | None = None
) -> int:
    """Run trainings until the search is over or the worker should leave.

    Args:
        assignment: the search to work on.
        should_leave: called before each training; True ends the worker.
        max_threads: threads that fit the folds of a training; None: all cores.

    Returns:
        Number of trainings that it ran.

    Raises:
        SearchNotFoundError: the search has not started yet, or is over.
        TrackingError: the storage cannot be reached.
        MarqueeError: the journal cannot be written.
    """
    spaces = candidate_spaces(assignment.search)
    queue = assignment.open_queue(spaces, seed=os.getpid() % 2**31)
    folds, n_done = assignment.source.load_folds(), 0
    # BLAS is limited once, not for each model: changing the limit wakes its idle threads, which then spin on
    # the cores that the folds need.
    with ONE_BLAS_THREAD, ThreadPoolExecutor(min(max_threads or thread_count(), len(folds))) as pool:
        while not (should_leave() or queue.is_closed()):
            claim = queue.claim(current_worker_name())
            if claim is None:
                time.sleep(POLL_SECONDS)
                continue
            with _heartbeats(claim):
                result = _run_training(assignment, claim, spaces[claim.id.candidate], folds, pool)
            queue.finish(claim, result, assignment.metric)
            n_done += 1
    return n_done


def current_worker_name() -> str:
    """Return the name of this process: host, process id, and start time because process ids are reused."""
    return f"{socket.gethostname()} {os.getpid()} {_process_start_time(os.getpid())}"


def is_worker_dead(worker: str, last_heartbeat: float) -> bool:
    """Return True if the process of a worker has ended or, on another machine, has been silent for too long.

    Args:
        worker: result of `current_worker_name`; empty if the name has not been stored yet.
        last_heartbeat: seconds since 1970.
    """
    silence = time.time() - last_heartbeat
    if not worker:
        return silence > MAX_UNNAMED_SECONDS
    host, pid, start_time = worker.split(" ")
    if host == socket.gethostname():
        return _process_start_time(int(pid)) != start_time
    return silence > MAX_SILENCE_SECONDS


def run_worker_process(assignment: WorkerAssignment, max_threads: int, errors: "SimpleQueue[str]") -> None:
    """Run a worker process that the search has started; it ends when the process of the search ends.

    Args:
        assignment: the search to work on.
        max_threads: threads that fit the folds of a training.
        errors: receives the reason if the worker cannot continue.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the search, which stops its workers
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        run_worker(assignment, should_leave=lambda: False, max_threads=max_threads)
    except MarqueeError as error:
        errors.put(str(error))
    except Exception as error:
        errors.put(f"a search worker failed: {type(error).__name__}: {error}")
        raise


def _exit_with_parent() -> None:
    search = multiprocessing.parent_process()  # the search, not the fork server
    if search is not None:
        search.join()
    os._exit(1)  # even during a training; it will be enqueued again


def _run_training(
    assignment: WorkerAssignment,
    claim: ClaimedTraining,
    space: CandidateSpace,
    folds: Folds,
    pool: ThreadPoolExecutor,
) -> TrainingResult:
    return train(
        claim.id.candidate,
        space.points_of_training(claim.parameters),
        folds,
        fold_seeds(assignment.seed, claim.id.candidate),
        pool,
        metric=assignment.metric,
        reporting_epochs=reporting_epochs(space.n_epochs),
        should_prune=claim.report_and_check_pruning if assignment.search.pruner != "none" else None,
    )


@contextmanager
def _heartbeats(claim: ClaimedTraining) -> Iterator[None]:
    """Send heartbeats from a thread while the block runs."""
    done = threading.Event()

    def send_heartbeats() -> None:
        with suppress(MarqueeError):  # if the storage fails, the worker itself will report it
            while not done.wait(HEARTBEAT_SECONDS):
                claim.send_heartbeat(time.time())

    thread = threading.Thread(target=send_heartbeats, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _process_start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, or an empty string if it is not alive."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    state, *others = stat.rpartition(")")[2].split()  # the name in parentheses may contain spaces
    is_dead = state in "ZX"  # zombie or dead
    return "" if is_dead else others[START_TIME_FIELD - STATE_FIELD - 1]
