"""Training queue: scheduled, running and finished trainings of a search, one Optuna study per candidate.

waiting ──────── claim ────────► running ──── finish ────► complete, pruned or failed
   ▲                                │
   └───── the worker has died ──────┘

One trial of Optuna is one training of Marquee. Its user attributes hold the number of the training and, at
the end, its result. A finished trial without a result belonged to a dead worker; its training was enqueued
again.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from experiments.config.offline import ParameterDomain, ParameterRange
from experiments.search.pruners import create_pruner
from experiments.search.storage import JOURNAL, open_storage
from experiments.search.training_result import TrainingId, TrainingResult
from experiments.search.training_space import CandidateSpace
from marquee.algorithms.registry import Parameters
from marquee.errors import TrackingError

# User attributes of an Optuna trial, and of a study.
NUMBER, ORDER, PARAMETERS, WORKER, HEARTBEAT = "number", "order", "parameters", "worker", "heartbeat"
RESULT, CLOSED = "result", "closed"
SEARCH_DELETED_ERRORS = (KeyError, FileNotFoundError)  # raised after a search has deleted its state
MAX_WORKER_DEATHS = 3  # worker deaths after which the training itself is considered their cause

optuna.logging.set_verbosity(optuna.logging.ERROR)


class SearchNotFoundError(TrackingError):
    """The search does not exist: it has not started yet, or is over."""


@dataclass(frozen=True)
class ClaimedTraining:
    """A training that a worker has taken from the queue."""

    id: TrainingId
    parameters: Parameters
    trial: optuna.trial.Trial

    def report_and_check_pruning(self, epoch: int, error: float) -> bool:
        """Report the error after an epoch; return True if the pruner stops the training."""
        self.trial.report(error, epoch)
        return self.trial.should_prune()

    def send_heartbeat(self, now: float) -> None:
        """Record that the worker is alive, at `now` in seconds since 1970."""
        self.trial.set_user_attr(HEARTBEAT, now)


@dataclass(frozen=True)
class FatalTraining:
    """A training during which `MAX_WORKER_DEATHS` workers have died; it is not enqueued again."""

    id: TrainingId
    parameters: Parameters


class TrainingQueue:
    """Trainings of one search, shared by any number of processes through the storage.

    Args:
        storage: `journal`, or the URL of a database.
        journal: path of the journal file.
        key: the search key; a database can hold several searches.
        spaces: search space of every candidate.
        sampler: `grid`, `random` or `tpe`; used only for trainings that are enqueued without parameters.
        pruner: `none`, `median`, `hyperband` or `curve`.
        seed: seed of the sampler, different for each worker.
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
        sampler: str,
        pruner: str,
        seed: int,
        create: bool = False,
    ) -> None:
        if storage == JOURNAL and not create and not journal.exists():
            raise SearchNotFoundError(f"search journal {journal} not found")
        self._storage = open_storage(storage, journal)
        # Not stored, so that workers that died because the search was interrupted do not count.
        self._worker_deaths: Counter[TrainingId] = Counter()
        self._distributions = {name: _distributions(space) for name, space in spaces.items()}
        if create:
            self._create_studies(key)
        try:
            self._studies = {
                name: optuna.load_study(
                    storage=self._storage,
                    study_name=_study_name(key, name),
                    sampler=_create_sampler(sampler, seed),
                    pruner=create_pruner(pruner, space.n_epochs),
                )
                for name, space in spaces.items()
            }
        except KeyError:
            raise SearchNotFoundError(f"search {key} not found in {storage}") from None

    def enqueue(self, training: TrainingId, order: int, parameters: Parameters | None) -> None:
        """Add a training to the queue.

        Args:
            training: its id.
            order: place in the queue; lower numbers are claimed first.
            parameters: its parameters; None: the sampler draws them when a worker claims the training.
        """
        values = dict(parameters or {})
        attributes = {NUMBER: training.number, ORDER: order, PARAMETERS: values}
        self._studies[training.candidate].enqueue_trial(values, user_attrs=attributes)

    def claim(self, worker: str) -> ClaimedTraining | None:
        """Claim the first waiting training of all candidates for a worker; return None if none is waiting."""
        while first_waiting := self._first_waiting():
            name = min(first_waiting, key=first_waiting.__getitem__)
            trial = self._studies[name].ask(self._distributions[name])
            if (
                NUMBER not in trial.user_attrs
            ):  # another worker was faster, and Optuna has created a new trial
                self._studies[name].tell(trial, state=TrialState.FAIL)
                continue
            trial.set_user_attr(WORKER, worker)
            return ClaimedTraining(TrainingId(name, int(trial.user_attrs[NUMBER])), dict(trial.params), trial)
        return None

    def finish(self, claim: ClaimedTraining, result: TrainingResult, metric: str) -> None:
        """Store the result of a training, unless the training was enqueued again or the search is over."""
        error = result.best_error(metric)
        if result.is_pruned:
            state, error = TrialState.PRUNED, None
        else:
            state = TrialState.FAIL if error is None else TrialState.COMPLETE
        with suppress(*SEARCH_DELETED_ERRORS, optuna.exceptions.UpdateFinishedTrialError):
            claim.trial.set_user_attr(RESULT, result.to_json())
            self._studies[claim.id.candidate].tell(claim.trial, error, state=state, skip_if_finished=True)

    def results(self, exclude: Container[TrainingId] = ()) -> dict[TrainingId, TrainingResult]:
        """Return the results of all finished trainings, except those excluded."""
        return {
            training: TrainingResult.from_json(trial.user_attrs[RESULT])
            for training, trial in self._trials()
            if trial.state.is_finished() and RESULT in trial.user_attrs and training not in exclude
        }

    def unfinished(self) -> set[TrainingId]:
        """Return the trainings that are waiting or running."""
        return {training for training, trial in self._trials() if not trial.state.is_finished()}

    def requeue_trainings_of_dead_workers(self, is_dead: Callable[[str, float], bool]) -> list[FatalTraining]:
        """Enqueue the trainings of dead workers again.

        Args:
            is_dead: True if a worker is dead, given its name and the time of its last heartbeat.

        Returns:
            Trainings during which `MAX_WORKER_DEATHS` workers have now died. They are not enqueued again.
        """
        fatal: list[FatalTraining] = []
        for training, trial in self._trials():
            if trial.state != TrialState.RUNNING or not is_dead(*_last_heartbeat(trial)):
                continue
            self._studies[training.candidate].tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            self._worker_deaths[training] += 1
            if self._worker_deaths[training] >= MAX_WORKER_DEATHS:
                fatal.append(FatalTraining(training, _parameters(trial)))
            else:
                self.enqueue(training, int(trial.user_attrs[ORDER]), _parameters(trial))
        return fatal

    def mark_open(self) -> None:
        """Mark the queue as open: workers wait for trainings that will be enqueued."""
        self._set_closed(closed=False)

    def mark_closed(self) -> None:
        """Mark the queue as closed: workers end, because no more trainings will be enqueued."""
        self._set_closed(closed=True)

    def is_closed(self) -> bool:
        """Return True if no more trainings will be enqueued, or the search has deleted its state."""
        try:
            return all(study.user_attrs.get(CLOSED) for study in self._studies.values())
        except SEARCH_DELETED_ERRORS:
            return True

    def delete_studies(self) -> None:
        """Delete the studies from the storage."""
        for study in self._studies.values():
            optuna.delete_study(study_name=study.study_name, storage=self._storage)

    def _create_studies(self, key: str) -> None:
        for name in self._distributions:
            optuna.create_study(
                storage=self._storage,
                study_name=_study_name(key, name),
                direction="minimize",
                load_if_exists=True,
            )

    def _set_closed(self, *, closed: bool) -> None:
        for study in self._studies.values():
            study.set_user_attr(CLOSED, closed)

    def _first_waiting(self) -> dict[str, int]:
        """Return the place in the queue of the first waiting training of each candidate that has one."""
        try:
            return {
                name: min(int(trial.user_attrs[ORDER]) for trial in trials)
                for name, study in self._studies.items()
                if (trials := study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
            }
        except SEARCH_DELETED_ERRORS:
            return {}

    def _trials(self) -> list[tuple[TrainingId, FrozenTrial]]:
        return [
            (TrainingId(name, int(trial.user_attrs[NUMBER])), trial)
            for name, study in self._studies.items()
            for trial in study.get_trials(deepcopy=False)
            if NUMBER in trial.user_attrs
        ]


def _study_name(key: str, candidate: str) -> str:
    return f"{key}/{candidate}"


def _create_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _distributions(space: CandidateSpace) -> dict[str, BaseDistribution]:
    return {name: _distribution(values) for name, values in space.trained.items()}


def _distribution(values: ParameterDomain) -> BaseDistribution:
    if not isinstance(values, ParameterRange):
        return CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _parameters(trial: FrozenTrial) -> Parameters:
    """Return the parameters that were enqueued or drawn.

    Both sources are needed: a worker may die before Optuna has copied all enqueued parameters to the trial.
    """
    return {**trial.user_attrs[PARAMETERS], **trial.params}


def _last_heartbeat(trial: FrozenTrial) -> tuple[str, float]:
    """Return the worker's name and the time of its last heartbeat, or of the start, in seconds since 1970."""
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return str(trial.user_attrs.get(WORKER, "")), float(trial.user_attrs.get(HEARTBEAT, started))
