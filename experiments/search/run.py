"""Runs a search: enqueues the tasks of its rounds and collects their results."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from experiments.search.round_planner import PlannedParts, Round, RoundPlanner, TaskResults
from experiments.search.specification import SearchSpec
from experiments.search.storage import JOURNAL
from experiments.search.task_queue import MAX_WORKER_DEATHS, TaskQueue
from experiments.search.training_result import PointId, Task, TaskId, TaskResult
from experiments.search.training_space import candidate_spaces
from experiments.search.trials import Trial
from experiments.search.user_scores import UserColumns
from experiments.search.worker import is_worker_dead
from experiments.search.worker_pool import WorkerPool
from marquee.errors import MarqueeError

POLL_SECONDS = 0.05
BACKGROUND_ORDER = 1 << 20  # place in the queue of the first task that no round waits for
NOT_FINISHED = "not finished within search.max_minutes"


@dataclass(frozen=True)
class TaskReport:
    """Progress of a search after a task.

    Attributes:
        task: the task.
        trials: its trials, with the scores of this task only.
        n_finished: number of finished tasks.
        max_tasks: upper bound for the number of tasks of the whole search.
    """

    task: TaskId
    trials: list[Trial]
    n_finished: int
    max_tasks: int


OnTask = Callable[[TaskReport], None]


@dataclass(frozen=True)
class SearchOutcome:
    """Result of a search.

    Attributes:
        trials: all trials in the order of params.yaml, regardless of which worker finished first.
        columns: part and user of the values of single users.
    """

    trials: list[Trial]
    columns: UserColumns


def run_search(spec: SearchSpec, on_task: OnTask) -> SearchOutcome:
    """Run a search, or resume the interrupted search with the same key.

    A failed task is kept with its reason, and a dead worker is replaced. The search state is kept until
    `delete_search_state` is called.

    Args:
        spec: the search.
        on_task: called after each task.

    Raises:
        MarqueeError: every trial failed, no task ended in time, or the journal cannot be written.
        DataError: a validation part has no users to evaluate.
        TrackingError: the storage cannot be reached.
    """
    spaces = candidate_spaces(spec.search)
    assignment = spec.create_worker_assignment()
    queue = assignment.open_queue(spaces, create=True)
    queue.mark_open()
    with WorkerPool(assignment) as workers:  # its processes start while this one reads the parts
        columns = spec.find_evaluated_users()
        planned_parts = PlannedParts(columns.users_by_part, spec.protocol.n)
        planner = RoundPlanner(
            spec.search, spaces, spec.seed, parts=planned_parts, has_folds=spec.folds is not None
        )
        collector = ResultCollector(queue, planner, on_task)
        _run_rounds(planner, collector, queue, workers, TimeLimit(spec.search.max_minutes))
        queue.mark_closed()
    collector.poll()  # tasks that were running when the queue was closed
    trials = collector.trials(list(spaces), len(columns.users_by_part))
    _check_for_results(trials)
    return SearchOutcome(trials, columns)


def delete_search_state(spec: SearchSpec) -> None:
    """Delete the state of a finished search; call this once its trials are stored elsewhere."""
    assignment = spec.create_worker_assignment()
    assignment.open_queue(candidate_spaces(spec.search)).delete_studies()
    if spec.search.storage == JOURNAL:
        assignment.journal.unlink()


class TimeLimit:
    """Time limit of a search, counted from the creation of the object."""

    def __init__(self, max_minutes: float | None) -> None:
        self._end = None if max_minutes is None else time.monotonic() + 60 * max_minutes

    @property
    def is_over(self) -> bool:
        """True if the time is up; always False without a limit."""
        return self._end is not None and time.monotonic() > self._end


class ResultCollector:
    """Collects the results of tasks from the queue, and reports each to a callback."""

    def __init__(self, queue: TaskQueue, planner: RoundPlanner, on_task: OnTask) -> None:
        self._queue, self._planner, self._on_task = queue, planner, on_task
        self._expected: set[TaskId] = set()
        self._reported: set[TaskId] = set()
        # All results in the queue; those of an interrupted search may belong to rounds not yet planned.
        self.results: dict[TaskId, TaskResult] = {}

    def expect(self, tasks: Iterable[Task]) -> None:
        """Report the results of these tasks, too."""
        self._expected |= {task.id for task in tasks}

    def has_all(self) -> bool:
        """Return True if all expected tasks have results."""
        return self._expected <= self.results.keys()

    def has(self, tasks: Iterable[Task]) -> bool:
        """Return True if all of these tasks have results."""
        return all(task.id in self.results for task in tasks)

    def poll(self) -> None:
        """Read new results from the queue."""
        self.results |= self._queue.results(exclude=self.results)
        self._report()

    def add_failures(self, tasks: Iterable[Task]) -> None:
        """Add failures for tasks that have killed too many workers."""
        reason = f"its worker was killed {MAX_WORKER_DEATHS} times, perhaps because memory ran out"
        self.results |= {task.id: TaskResult.from_failure(task.points, reason) for task in tasks}
        self._report()

    def trials(self, candidates: Sequence[str], n_parts: int) -> list[Trial]:
        """Return all trials that have results.

        Args:
            candidates: candidates in the order in which trials are numbered.
            n_parts: number of validation parts of a complete trial.
        """
        expected = {task: result for task, result in self.results.items() if task in self._expected}
        merged = self._planner.merge(expected)
        in_order = sorted(
            (candidates.index(point.training.candidate), point.training.number, point.point, point)
            for point, scores in merged.items()
            if scores.has_results
        )
        trials: list[Trial] = []
        for *_, point in in_order:
            scores = merged[point]
            if scores.is_alive and len(scores.parts) < n_parts:
                scores.pruned = NOT_FINISHED
            trials.append(scores.to_trial(len(trials), point.training.candidate))
        return trials

    def _report(self) -> None:
        for task in sorted((self.results.keys() & self._expected) - self._reported):
            self._reported.add(task)
            merged = self._planner.merge({task: self.results[task]})
            trials = [
                merged[PointId(task.training, point.point)].to_trial(0, task.training.candidate)
                for point in self.results[task].points
            ]
            report = TaskReport(task, trials, len(self._reported), self._planner.max_tasks)
            self._on_task(report)


def _run_rounds(
    planner: RoundPlanner,
    collector: ResultCollector,
    queue: TaskQueue,
    workers: WorkerPool,
    time_limit: TimeLimit,
) -> None:
    """Run all rounds, and wait for the tasks in the background, or until the time is over."""

    def wait_for(is_finished: Callable[[], bool]) -> None:
        while not (is_finished() or time_limit.is_over):
            collector.add_failures(queue.requeue_tasks_of_dead_workers(is_worker_dead))
            workers.replace_dead_workers()
            time.sleep(POLL_SECONDS)
            collector.poll()

    collector.poll()
    rounds, n_enqueued = planner.rounds(), 0
    planned = next(rounds, None)
    while planned is not None and not time_limit.is_over:
        collector.expect([*planned.tasks, *planned.background])
        _enqueue(planned, n_enqueued, queue, collector)
        n_enqueued += len(planned.tasks) + len(planned.background)
        collector.poll()
        wait_for(partial(collector.has, planned.tasks))
        if not collector.has(planned.tasks):
            return
        # Results of planned rounds only: the planner takes no others.
        planned = _send(rounds, collector.results)
    wait_for(collector.has_all)


def _send(rounds: Generator[Round, TaskResults, None], results: TaskResults) -> Round | None:
    """Return the next round, or None if the search is complete."""
    try:
        return rounds.send(results)
    except StopIteration:
        return None


def _enqueue(planned: Round, first_order: int, queue: TaskQueue, collector: ResultCollector) -> None:
    """Enqueue the tasks of a round, except those that an interrupted search has enqueued already."""
    known = queue.unfinished() | collector.results.keys()
    for order, task in enumerate(planned.tasks, first_order):
        if task.id not in known:
            queue.enqueue(task, order)
    for order, task in enumerate(planned.background, first_order + BACKGROUND_ORDER):
        if task.id not in known:
            queue.enqueue(task, order)


def _check_for_results(trials: list[Trial]) -> None:
    if not any(trial.folds or trial.parts or trial.failure for trial in trials):
        raise MarqueeError(
            "no training ended within search.max_minutes; increase it and run the search again to resume it"
        )
    if all(trial.failure for trial in trials):
        first = trials[0]
        raise MarqueeError(
            f"all {len(trials)} trials failed, the first one, {first.label}, with {first.failure}; "
            "check search.candidates in params.yaml"
        )
