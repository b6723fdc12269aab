"""Runs a search: enqueues trainings round by round and collects their results."""

import time
from collections.abc import Callable, Iterable

from experiments.search.round_planner import RoundPlanner, ScheduledTraining
from experiments.search.specification import SearchSpec
from experiments.search.storage import JOURNAL
from experiments.search.training_queue import MAX_WORKER_DEATHS, FatalTraining, TrainingQueue
from experiments.search.training_result import TrainingId, TrainingResult
from experiments.search.training_space import candidate_spaces
from experiments.search.trials import Trial
from experiments.search.worker import is_worker_dead
from experiments.search.worker_pool import WorkerPool
from marquee.errors import MarqueeError

POLL_SECONDS = 0.05

# Called after each training with its trials, the number of finished trainings, and the maximum number.
OnTraining = Callable[[list[Trial], int, int], None]


def run_search(spec: SearchSpec, on_training: OnTraining) -> list[Trial]:
    """Run a search, or resume the interrupted search with the same key.

    A failed training is kept with its reason, and a dead worker is replaced. The search state is kept until
    `delete_search_state` is called.

    Args:
        spec: the search.
        on_training: called after each training.

    Returns:
        All trials in the order of params.yaml, regardless of which worker finished first.

    Raises:
        MarqueeError: every trial failed, no training ended in time, or the journal cannot be written.
        TrackingError: the storage cannot be reached.
    """
    spaces = candidate_spaces(spec.search)
    assignment = spec.create_worker_assignment()
    queue = assignment.open_queue(spaces, spec.seed, create=True)
    planner = RoundPlanner(spec.search, spaces, spec.seed, spec.metric)
    time_limit = TimeLimit(spec.search.max_minutes)
    collector = ResultCollector(queue, on_training, planner.max_trainings)
    # Complete rounds only, so that a resumed search schedules the same trainings.
    results: dict[TrainingId, TrainingResult] = {}
    queue.mark_open()
    with WorkerPool(assignment) as workers:
        collector.poll()
        while not time_limit.is_over and (trainings := planner.next_round(results)):
            _enqueue(queue, trainings, len(results), collector)
            ids = {training.id for training in trainings}
            while not (collector.has_all(ids) or time_limit.is_over):
                collector.add_failures(queue.requeue_trainings_of_dead_workers(is_worker_dead))
                workers.replace_dead_workers()
                time.sleep(POLL_SECONDS)
                collector.poll()
            results |= {training: result for training, result in collector.results.items() if training in ids}
        queue.mark_closed()
    collector.poll()  # trainings that were running when the queue was closed
    trials = collector.trials(list(spaces))
    _check_for_results(trials)
    return trials


def delete_search_state(spec: SearchSpec) -> None:
    """Delete the state of a finished search; call this once its trials are stored elsewhere."""
    assignment = spec.create_worker_assignment()
    assignment.open_queue(candidate_spaces(spec.search), spec.seed).delete_studies()
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
    """Collects the results of trainings from the queue, and reports each to a callback."""

    def __init__(self, queue: TrainingQueue, on_training: OnTraining, max_trainings: int) -> None:
        self._queue, self._on_training, self._max_trainings = queue, on_training, max_trainings
        self.results: dict[TrainingId, TrainingResult] = {}

    def has_all(self, trainings: Iterable[TrainingId]) -> bool:
        """Return True if all of these trainings have results."""
        return all(training in self.results for training in trainings)

    def poll(self) -> None:
        """Read new results from the queue."""
        for training, result in sorted(self._queue.results(exclude=self.results).items()):
            self._add(training, result)

    def add_failures(self, trainings: Iterable[FatalTraining]) -> None:
        """Add failures for trainings that have killed too many workers."""
        for training in trainings:
            reason = f"its worker was killed {MAX_WORKER_DEATHS} times, perhaps because memory ran out"
            self._add(training.id, TrainingResult.from_failure([training.parameters], reason))

    def trials(self, candidates: list[str]) -> list[Trial]:
        """Return all trials, numbered in the given order of candidates."""
        trials: list[Trial] = []
        in_order = sorted(
            self.results, key=lambda training: (candidates.index(training.candidate), training.number)
        )
        for training in in_order:
            trials += self.results[training].to_trials(training.candidate, first_number=len(trials))
        return trials

    def _add(self, training: TrainingId, result: TrainingResult) -> None:
        self.results[training] = result
        trials = result.to_trials(training.candidate, first_number=0)
        self._on_training(trials, len(self.results), self._max_trainings)


def _enqueue(
    queue: TrainingQueue, trainings: list[ScheduledTraining], first_order: int, collector: ResultCollector
) -> None:
    """Enqueue the trainings of a round, except those that an interrupted search has enqueued already."""
    known = queue.unfinished() | collector.results.keys()
    for order, training in enumerate(trainings, first_order):
        if training.id not in known:
            queue.enqueue(training.id, order, training.parameters)


def _check_for_results(trials: list[Trial]) -> None:
    if not trials:
        raise MarqueeError(
            "no training ended within search.max_minutes; increase it and run the search again to resume it"
        )
    if all(trial.failure for trial in trials):
        first = trials[0]
        raise MarqueeError(
            f"all {len(trials)} trials failed, the first one, {first.label}, with {first.failure}; "
            "check search.candidates in params.yaml"
        )
