"""Search worker: claims tasks from the queue, runs them and stores their results.

The search starts workers on its own machine; other machines join with `marquee search-worker`. Workers
communicate only through the storage, and each one reads the interactions itself.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.evaluation.cross_validation import Folds, fold_seeds, part_seed
from experiments.evaluation.list_evaluation import ListEvaluator
from experiments.evaluation.parts import Parts
from experiments.search.pruners import reporting_epochs
from experiments.search.specification import SearchSpec, WorkerAssignment
from experiments.search.task_queue import ClaimedTask, TaskQueue, prunable_part
from experiments.search.training import Leader, PruningSchedule, train_on_all_folds, train_on_part
from experiments.search.training_result import FOLDS, PointId, Task, TaskId, TaskResult
from experiments.search.training_space import CandidateSpace, candidate_spaces
from experiments.search.trials import format_sorted_label
from marquee.algorithms.threads import ONE_BLAS_THREAD, limit_threads, thread_count
from marquee.errors import MarqueeError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

POLL_SECONDS = 0.05  # between checks of an empty queue
HEARTBEAT_SECONDS = 10.0
MAX_SILENCE_SECONDS = 60.0  # time without a heartbeat after which a worker on another machine counts as dead
MAX_UNNAMED_SECONDS = 5.0  # time between claiming a task and storing the worker's name
START_TIME_FIELD = 22  # of /proc/PID/stat, counted from 1 (proc(5))
STATE_FIELD = 3


def run_worker(
    assignment: WorkerAssignment, *, should_leave: Callable[[], bool], max_threads: int | None = None
) -> int:
    """Run tasks until the search is over or the worker should leave.

    Args:
        assignment: the search to work on.
        should_leave: called before each task; True ends the worker.
        max_threads: threads that fit one model, or the folds of a training; None: all cores.

    Returns:
        Number of tasks that it ran.

    Raises:
        SearchNotFoundError: the search has not started yet, or is over.
        TrackingError: the storage cannot be reached.
        DataError: a validation part has no users to evaluate.
        MarqueeError: the journal cannot be written.
    """
    spaces = candidate_spaces(assignment.spec.search)
    queue, n_done = assignment.open_queue(spaces), 0
    n_threads = max_threads or thread_count()
    # BLAS is limited once, not for each model: changing the limit wakes its idle threads, which then spin on
    # the cores that the folds need.
    with ONE_BLAS_THREAD, limit_threads(n_threads), ThreadPoolExecutor(n_threads) as pool:
        runner = _TaskRunner(assignment.spec, spaces, queue, pool)
        while not (should_leave() or queue.is_closed()):
            claim = queue.claim(current_worker_name())
            if claim is None:
                time.sleep(POLL_SECONDS)
                continue
            with _heartbeats(claim):
                result = runner.run(claim)
            queue.finish(claim, result)
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
        max_threads: threads that fit one model, or the folds of a training.
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
    os._exit(1)  # even during a task; it will be enqueued again


class _TaskRunner:
    """Runs tasks; reads the folds and the validation parts when they are first needed, and keeps them."""

    def __init__(
        self,
        spec: SearchSpec,
        spaces: Mapping[str, CandidateSpace],
        queue: TaskQueue,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._spec, self._spaces, self._queue, self._pool = spec, spaces, queue, pool
        self._folds: Folds | None = None
        self._parts: Parts | None = None
        self._evaluator: tuple[int, ListEvaluator] | None = None  # of the last validation part
        self._leaders: dict[PointId, Leader] = {}

    def run(self, claim: ClaimedTask) -> TaskResult:
        """Run a task and return its result."""
        task, spec = claim.task, self._spec
        name = task.id.training.candidate
        points = self._spaces[name].points_of_training(task.parameters)
        selected = {number: points[number] for number in task.points}
        pruning = self._pruning_schedule(claim)
        if task.id.part == FOLDS:
            return train_on_all_folds(
                name, selected, self._load_folds(), fold_seeds(spec.seed, name), self._pool,
                metric=spec.metric, pruning=pruning,
            )  # fmt: skip
        return train_on_part(
            name, selected, self._load_evaluator(task.id.part), part_seed(spec.seed, name, task.id.part),
            metric=spec.metric, leader=self._find_leader(task), pruning=pruning,
        )  # fmt: skip

    def _pruning_schedule(self, claim: ClaimedTask) -> PruningSchedule | None:
        """Return when the training of a task may be stopped, or None if it may not."""
        task, spec = claim.task, self._spec
        if spec.search.pruner == "none" or task.id.part != prunable_part(spec.metric):
            return None
        n_epochs = self._spaces[task.id.training.candidate].n_epochs
        return PruningSchedule(reporting_epochs(n_epochs), claim.report_and_check_pruning)

    def _load_folds(self) -> Folds:
        if self._folds is None:
            assert self._spec.folds is not None, "the search schedules no folds without ratings"
            self._folds = self._spec.folds.load_folds()
        return self._folds

    def _load_evaluator(self, part: int) -> ListEvaluator:
        if self._parts is None:
            assert self._spec.parts is not None, "the search schedules no parts without them"
            self._parts = self._spec.parts.load()
        if self._evaluator is None or self._evaluator[0] != part:
            self._evaluator = None  # frees its memory
            self._evaluator = part, self._spec.create_evaluator(self._parts[part])
        return self._evaluator[1]

    def _find_leader(self, task: Task) -> Leader | None:
        """Return the leader of a task, from the storage or, after the first time, from memory."""
        name, leader = self._spec.metric.user_metric, task.leader
        if leader is None or name is None:
            return None
        if leader not in self._leaders:
            led, result = self._queue.find_finished(TaskId(leader.training, task.id.part))
            part = result.find_point(leader.point).part
            assert part is not None, "a leader has lists"
            points = self._spaces[leader.training.candidate].points_of_training(led.parameters)
            label = format_sorted_label(leader.training.candidate, points[leader.point])
            self._leaders[leader] = Leader(label, part.user_values[name])
        return self._leaders[leader]


@contextmanager
def _heartbeats(claim: ClaimedTask) -> Iterator[None]:
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
