"""Task queue: scheduled, running and finished tasks of a search, in Optuna studies.

waiting ──────── claim ────────► running ──── finish ────► complete, pruned or failed
   ▲                                │
   └───── the worker has died ──────┘

One trial of Optuna is one task of Marquee. Its user attributes hold the task and, at the end, its result. A
finished trial without a result belonged to a dead worker; its task was enqueued again.

Optuna's pruners compare the trials of a study. Hence each candidate has a study of the tasks in which its
trainings can be stopped. Other tasks share one study. Tasks for which no round waits are in another one,
because Optuna claims the tasks of a study in the order in which they were enqueued.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from experiments.search.metric import SearchMetric
from experiments.search.pruners import create_pruner
from experiments.search.storage import JOURNAL, open_storage
from experiments.search.training_result import FOLDS, PointId, Task, TaskId, TaskResult, TrainingId
from experiments.search.training_space import CandidateSpace
from marquee.errors import TrackingError

# User attributes of an Optuna trial, and of a study.
TASK, ORDER, WORKER, HEARTBEAT = "task", "order", "worker", "heartbeat"
RESULT, CLOSED = "result", "closed"
SEARCH_DELETED_ERRORS = (KeyError, FileNotFoundError)  # raised after a search has deleted its state
MAX_WORKER_DEATHS = 3  # worker deaths after which the task itself is considered their cause
OTHER_TASKS, BACKGROUND_TASKS = "other tasks", "background tasks"  # studies besides those of the candidates

optuna.logging.set_verbosity(optuna.logging.ERROR)


class SearchNotFoundError(TrackingError):
    """The search does not exist: it has not started yet, or is over."""


@dataclass(frozen=True)
class ClaimedTask:
    """A task that a worker has taken from the queue."""

    task: Task
    trial: optuna.trial.Trial

    def report_and_check_pruning(self, epoch: int, loss: float) -> bool:
        """Report the loss after an epoch; return True if the pruner stops the training."""
        self.trial.report(loss, epoch)
        return self.trial.should_prune()

    def send_heartbeat(self, now: float) -> None:
        """Record that the worker is alive, at `now` in seconds since 1970."""
        self.trial.set_user_attr(HEARTBEAT, now)


class TaskQueue:
    """Tasks of one search, shared by any number of processes through the storage.

    Args:
        storage: `journal`, or the URL of a database.
        journal: path of the journal file.
        key: the search key; a database can hold several searches.
        spaces: search space of every candidate.
        metric: metric of the search.
        pruner: `none`, `median`, `hyperband` or `curve`.
        create: create missing studies. Only the search itself does that, before workers join.

    Raises:
        SearchNotFoundError: the studies do not exist.
        TrackingError: the storage cannot be reached.
    """

    def __init__(
        self,
        storage: str,
        journal: Path,
        key: str,
        spaces: Mapping[str, CandidateSpace],
        *,
        metric: SearchMetric,
        pruner: str,
        create: bool = False,
    ) -> None:
        if storage == JOURNAL and not create and not journal.exists():
            raise SearchNotFoundError(f"search journal {journal} not found")
        self._storage = open_storage(storage, journal)
        # Not stored, so that workers that died because the search was interrupted do not count.
        self._worker_deaths: Counter[TaskId] = Counter()
        self._metric = metric
        pruners = dict.fromkeys((OTHER_TASKS, BACKGROUND_TASKS), create_pruner("none", 0))
        if pruner != "none":
            pruners |= {name: create_pruner(pruner, space.n_epochs) for name, space in spaces.items()}
        try:
            self._studies = {
                name: self._open_study(f"{key}/{name}", study_pruner, create)
                for name, study_pruner in pruners.items()
            }
        except KeyError:
            raise SearchNotFoundError(f"search {key} not found in {storage}") from None

    def enqueue(self, task: Task, order: int) -> None:
        """Add a task to the queue.

        Args:
            task: the task.
            order: place in the queue; lower numbers are claimed first.
        """
        attributes = {TASK: _task_to_json(task), ORDER: order}
        self._study_of(task.id).enqueue_trial({}, user_attrs=attributes)

    def claim(self, worker: str) -> ClaimedTask | None:
        """Claim the first waiting task for a worker; return None if none is waiting."""
        while first_waiting := self._first_waiting():
            name = min(first_waiting, key=first_waiting.__getitem__)
            trial = self._studies[name].ask()
            if TASK not in trial.user_attrs:  # another worker was faster, and Optuna has created a new trial
                self._studies[name].tell(trial, state=TrialState.FAIL)
                continue
            trial.set_user_attr(WORKER, worker)
            return ClaimedTask(_task_from_json(trial.user_attrs[TASK]), trial)
        return None

    def finish(self, claim: ClaimedTask, result: TaskResult) -> None:
        """Store the result of a task, unless the task was enqueued again or the search is over."""
        loss = None if result.is_pruned else result.best_loss
        state = TrialState.FAIL if loss is None else TrialState.COMPLETE
        if result.is_pruned:
            state = TrialState.PRUNED
        with suppress(*SEARCH_DELETED_ERRORS, optuna.exceptions.UpdateFinishedTrialError):
            claim.trial.set_user_attr(RESULT, result.to_json())
            self._study_of(claim.task.id).tell(claim.trial, loss, state=state, skip_if_finished=True)

    def results(self, exclude: Container[TaskId] = ()) -> dict[TaskId, TaskResult]:
        """Return the results of all finished tasks, except those excluded."""
        return {
            task: TaskResult.from_json(trial.user_attrs[RESULT])
            for task, trial in self._trials()
            if trial.state.is_finished() and RESULT in trial.user_attrs and task not in exclude
        }

    def find_finished(self, task_id: TaskId) -> tuple[Task, TaskResult]:
        """Return a finished task and its result.

        Raises:
            KeyError: the task is not finished.
        """
        for other, trial in self._trials():
            if other == task_id and trial.state.is_finished() and RESULT in trial.user_attrs:
                return (
                    _task_from_json(trial.user_attrs[TASK]),
                    TaskResult.from_json(trial.user_attrs[RESULT]),
                )
        raise KeyError(task_id)

    def unfinished(self) -> set[TaskId]:
        """Return the tasks that are waiting or running."""
        return {task for task, trial in self._trials() if not trial.state.is_finished()}

    def requeue_tasks_of_dead_workers(self, is_dead: Callable[[str, float], bool]) -> list[Task]:
        """Enqueue the tasks of dead workers again.

        Args:
            is_dead: True if a worker is dead, given its name and the time of its last heartbeat.

        Returns:
            Tasks during which `MAX_WORKER_DEATHS` workers have now died. They are not enqueued again.
        """
        fatal: list[Task] = []
        for task_id, trial in self._trials():
            if trial.state != TrialState.RUNNING or not is_dead(*_last_heartbeat(trial)):
                continue
            self._study_of(task_id).tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            self._worker_deaths[task_id] += 1
            task = _task_from_json(trial.user_attrs[TASK])
            if self._worker_deaths[task_id] >= MAX_WORKER_DEATHS:
                fatal.append(task)
            else:
                self.enqueue(task, int(trial.user_attrs[ORDER]))
        return fatal

    def mark_open(self) -> None:
        """Mark the queue as open: workers wait for tasks that will be enqueued."""
        self._set_closed(closed=False)

    def mark_closed(self) -> None:
        """Mark the queue as closed: workers end, because no more tasks will be enqueued."""
        self._set_closed(closed=True)

    def is_closed(self) -> bool:
        """Return True if no more tasks will be enqueued, or the search has deleted its state."""
        try:
            return bool(self._studies[OTHER_TASKS].user_attrs.get(CLOSED))
        except SEARCH_DELETED_ERRORS:
            return True

    def delete_studies(self) -> None:
        """Delete the studies from the storage."""
        for study in self._studies.values():
            optuna.delete_study(study_name=study.study_name, storage=self._storage)

    def _open_study(self, name: str, pruner: optuna.pruners.BasePruner, create: bool) -> optuna.Study:
        """Open a study, or create it.

        Raises:
            KeyError: it does not exist.
        """
        sampler = optuna.samplers.RandomSampler()  # not used: all parameters are in the tasks
        if create:
            optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
            )
        return optuna.load_study(storage=self._storage, study_name=name, sampler=sampler, pruner=pruner)

    def _study_of(self, task: TaskId) -> optuna.Study:
        if task.part == prunable_part(self._metric):
            return self._studies.get(task.training.candidate, self._studies[OTHER_TASKS])
        is_background = task.part == FOLDS and not self._metric.uses_errors
        return self._studies[BACKGROUND_TASKS if is_background else OTHER_TASKS]

    def _set_closed(self, *, closed: bool) -> None:
        self._studies[OTHER_TASKS].set_user_attr(CLOSED, closed)

    def _first_waiting(self) -> dict[str, int]:
        """Return the place in the queue of the first waiting task of each study that has one.

        Optuna claims the waiting tasks of a study in the order in which they were enqueued.
        """
        try:
            return {
                name: min(int(trial.user_attrs[ORDER]) for trial in trials)
                for name, study in self._studies.items()
                if (trials := study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
            }
        except SEARCH_DELETED_ERRORS:
            return {}

    def _trials(self) -> list[tuple[TaskId, FrozenTrial]]:
        return [
            (_task_id_from_json(trial.user_attrs[TASK]), trial)
            for study in self._studies.values()
            for trial in study.get_trials(deepcopy=False)
            if TASK in trial.user_attrs
        ]


def prunable_part(metric: SearchMetric) -> int:
    """Return the part on which pruners may stop a training: the first one, or the folds without lists."""
    return 0 if metric.uses_lists else FOLDS


def _task_to_json(task: Task) -> dict[str, Any]:
    """Return a task as a JSON-serializable dictionary."""
    return {
        "candidate": task.id.training.candidate,
        "number": task.id.training.number,
        "part": task.id.part,
        "parameters": dict(task.parameters),
        "points": list(task.points),
        "leader": None if task.leader is None else [*task.leader.training, task.leader.point],
    }


def _task_id_from_json(record: Mapping[str, Any]) -> TaskId:
    return TaskId(TrainingId(record["candidate"], int(record["number"])), int(record["part"]))


def _task_from_json(record: Mapping[str, Any]) -> Task:
    """Return the task that `_task_to_json` wrote."""
    leader = None
    if record["leader"] is not None:
        candidate, number, point = record["leader"]
        leader = PointId(TrainingId(candidate, int(number)), int(point))
    return Task(_task_id_from_json(record), record["parameters"], tuple(record["points"]), leader)


def _last_heartbeat(trial: FrozenTrial) -> tuple[str, float]:
    """Return the worker's name and the time of its last heartbeat, or of the start, in seconds since 1970."""
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return str(trial.user_attrs.get(WORKER, "")), float(trial.user_attrs.get(HEARTBEAT, started))
