"""What the search has asked, given out and been told: one Optuna study a candidate, in one storage.

asked (waiting)  ── claim ──►  given out (running)  ── finish ──►  told (complete, pruned, failed)
      ▲                                │
      └───────── ask again ── retire ──┘   its worker is no more

A trial of Optuna is one training. Its slot, in the user attributes, says which of the candidate's it is; what
came of it stands there too. One that ended without an outcome was retired, and its slot asked again.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from experiments.config.offline import Range, Space
from experiments.search.pruners import pruner_of
from experiments.search.space import Axes
from experiments.search.storage import opened
from experiments.search.training_result import Outcome
from marquee.algorithms.registry import Parameters
from marquee.errors import TrackingError

SLOT, ORDER, TRAINING, WORKER, SEEN = "slot", "order", "training", "worker", "seen"
OUTCOME, CLOSED = "outcome", "closed"
GONE = (KeyError, FileNotFoundError)  # what a storage says where the search is over and was cleared away
MOST_DEATHS = 3  # of workers on one training: after that it is what kills them

optuna.logging.set_verbosity(optuna.logging.ERROR)

Slot = tuple[str, int]  # candidate, number of the training


@dataclass(frozen=True)
class Claim:
    """A training that was given to a worker."""

    candidate: str
    slot: int
    training: Parameters
    trial: optuna.trial.Trial

    def report(self, epoch: int, error: float) -> bool:
        """Tell the error after an epoch; True: the others were better by then, it may be given up."""
        self.trial.report(error, epoch)
        return self.trial.should_prune()

    def seen(self, now: float) -> None:
        """Say that the worker is alive."""
        self.trial.set_user_attr(SEEN, now)


class StudiesMissing(TrackingError):
    """The search has not begun, or is over."""


class Studies:
    """The studies of one search. Any number of processes may have them open.

    Args:
        storage: "journal", or the address of a database that Optuna can use.
        journal: the journal's file.
        key: of the search; in a database, searches of many keys live side by side.
        axes: of every candidate.
        sampler: "grid", "random" or "tpe"; it only draws where a training is asked for without parameters.
        pruner: "none", "median", "hyperband" or "curve".
        seed: of the sampler; another for each worker.
        create: make what is not there yet. One process does that, before the others come.

    Raises:
        StudiesMissing: they are not there.
        TrackingError: the storage cannot be reached.
    """

    def __init__(
        self,
        storage: str,
        journal: Path,
        key: str,
        axes: Mapping[str, Axes],
        *,
        sampler: str,
        pruner: str,
        seed: int,
        create: bool = False,
    ) -> None:
        if storage == "journal" and not create and not journal.exists():
            raise StudiesMissing(f"there is no {journal}")
        self._storage = opened(storage, journal)
        self._key = key
        # Seen by this process: a training that was interrupted with its search has killed nobody.
        self._deaths: Counter[Slot] = Counter()
        self._distributions = {name: _distributions(one.trained) for name, one in axes.items()}
        if create:
            for name in axes:
                optuna.create_study(
                    storage=self._storage,
                    study_name=f"{key}/{name}",
                    direction="minimize",
                    load_if_exists=True,
                )
        try:
            self._studies = {
                name: optuna.load_study(
                    storage=self._storage,
                    study_name=f"{key}/{name}",
                    sampler=_sampler(sampler, seed),
                    pruner=pruner_of(pruner, one),
                )
                for name, one in axes.items()
            }
        except KeyError:
            raise StudiesMissing(f"no search {key} has begun in {storage}") from None

    def ask(self, slot: Slot, order: int, training: Parameters | None) -> None:
        """Ask for a training; without parameters the sampler of whoever claims it draws them."""
        name, number = slot
        given = dict(training or {})
        self._studies[name].enqueue_trial(given, user_attrs={SLOT: number, ORDER: order, TRAINING: given})

    def claim(self, worker: str) -> Claim | None:
        """Take the training that was asked for first, of all candidates; None where all are given out."""
        while waiting := self._waiting():
            name = min(waiting, key=waiting.__getitem__)
            trial = self._studies[name].ask(self._distributions[name])
            if SLOT not in trial.user_attrs:  # somebody was faster, and Optuna made one that nobody asked for
                self._studies[name].tell(trial, state=TrialState.FAIL)
                continue
            trial.set_user_attr(WORKER, worker)
            return Claim(name, int(trial.user_attrs[SLOT]), dict(trial.params), trial)
        return None

    def finish(self, claim: Claim, outcome: Outcome, metric: str) -> None:
        """Tell what came of a training, unless it was retired meanwhile or the search is over."""
        value = outcome.best(metric)
        pruned = any(point.pruned for point in outcome.points)
        state = TrialState.PRUNED if pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
        told = value if state == TrialState.COMPLETE else None
        with suppress(*GONE, optuna.exceptions.UpdateFinishedTrialError):
            claim.trial.set_user_attr(OUTCOME, outcome.to_plain())
            self._studies[claim.candidate].tell(claim.trial, told, state=state, skip_if_finished=True)

    def told(self, known: Container[Slot] = ()) -> dict[Slot, Outcome]:
        """Every outcome so far, but for those that are known already."""
        return {
            slot: Outcome.from_plain(trial.user_attrs[OUTCOME])
            for name, trial in self._trials()
            if trial.state.is_finished()
            and OUTCOME in trial.user_attrs
            and (slot := (name, int(trial.user_attrs[SLOT]))) not in known
        }

    def open_slots(self) -> set[Slot]:
        """Which trainings are waiting or given out."""
        return {
            (name, int(trial.user_attrs[SLOT]))
            for name, trial in self._trials()
            if not trial.state.is_finished()
        }

    def retire(self, is_gone: Callable[[str, float], bool]) -> list[tuple[Slot, Parameters]]:
        """End what was given to workers that are no more, and ask for it again.

        Args:
            is_gone: whether a worker is, by its name and when it last said that it is alive.

        Returns:
            Trainings that have now killed `MOST_DEATHS` workers, with their parameters: they are not asked
            for again.
        """
        deadly: list[tuple[Slot, Parameters]] = []
        for name, trial in self._trials():
            if trial.state != TrialState.RUNNING or not is_gone(*_last_seen(trial)):
                continue
            self._studies[name].tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            slot = (name, int(trial.user_attrs[SLOT]))
            self._deaths[slot] += 1
            if self._deaths[slot] >= MOST_DEATHS:
                deadly.append((slot, _training(trial)))
            else:
                self.ask(slot, int(trial.user_attrs[ORDER]), _training(trial))
        return deadly

    def close(self, *, closed: bool = True) -> None:
        """Say that nothing more will be asked, so that workers may leave, or that there will be."""
        for study in self._studies.values():
            study.set_user_attr(CLOSED, closed)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be asked: it was said so, or the studies are there no more."""
        try:
            return all(study.user_attrs.get(CLOSED) for study in self._studies.values())
        except GONE:
            return True

    def forget(self) -> None:
        """Remove the studies: the search is done, and its results stand elsewhere."""
        for study in self._studies.values():
            optuna.delete_study(study_name=study.study_name, storage=self._storage)

    def _waiting(self) -> dict[str, int]:
        """Candidates with trainings that wait, and the place in the order of the first of each."""
        try:
            return {
                name: min(int(trial.user_attrs[ORDER]) for trial in trials)
                for name, study in self._studies.items()
                if (trials := study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
            }
        except GONE:
            return {}

    def _trials(self) -> list[tuple[str, FrozenTrial]]:
        return [
            (name, trial)
            for name, study in self._studies.items()
            for trial in study.get_trials(deepcopy=False)
            if SLOT in trial.user_attrs
        ]


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {key: _distribution(values) for key, values in space.items()}


def _distribution(values: Any) -> BaseDistribution:
    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _training(trial: FrozenTrial) -> Parameters:
    """What was asked for or drawn. Its worker may have died before Optuna wrote all of it as parameters."""
    return {**trial.user_attrs[TRAINING], **trial.params}


def _last_seen(trial: FrozenTrial) -> tuple[str, float]:
    """The worker's name, and when it was last known to be alive, in seconds since 1970."""
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return str(trial.user_attrs.get(WORKER, "")), float(trial.user_attrs.get(SEEN, started))
