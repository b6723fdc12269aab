"""Training planner: chooses the next trainings of a search from the losses of all earlier ones.

`grid` and `defaults` schedule all trainings at once. `random` and `tpe` start with a few trainings of every
candidate; after that, the adaptive budget (adaptive_budget.py) distributes a few at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from experiments.config.offline import SearchParams
from experiments.search.adaptive_budget import INITIAL_TRAININGS, allocate_trainings
from experiments.search.tpe_sampling import propose_parameters
from experiments.search.training_result import TrainingId
from experiments.search.training_space import (
    ENUMERATING_SAMPLERS,
    CandidateSpace,
    draw_random_training,
    shuffle_trainings,
)
from marquee.algorithms.registry import Parameters
from marquee.seeds import seed_for

UNLIMITED = 1 << 30

TrainingLosses = Mapping[TrainingId, float]  # lowest loss of the points of a training; NaN if all failed


@dataclass(frozen=True)
class ScheduledTraining:
    """A training to run."""

    id: TrainingId
    parameters: Parameters  # of the trained parameters


class TrainingPlanner:
    """Plans the trainings of a search, some at a time.

    Args:
        search: the `search` block of params.yaml.
        spaces: search space of every candidate, in the order of params.yaml.
        seed: root seed of the samplers.
    """

    def __init__(self, search: SearchParams, spaces: Mapping[str, CandidateSpace], seed: int) -> None:
        self._search, self._spaces, self._seed = search, spaces, seed
        self._enumerated = {name: self._enumerate(name) for name in spaces}
        self._scheduled: dict[str, list[ScheduledTraining]] = {name: [] for name in spaces}

    @property
    def max_trainings(self) -> int:
        """Upper bound for the number of trainings of the whole search."""
        total = sum(self._size(name) for name in self._spaces)
        if self._search.sampler in ENUMERATING_SAMPLERS:
            return total
        initial = sum(min(INITIAL_TRAININGS, self._size(name)) for name in self._spaces)
        return min(total, max(self._search.n_trials, initial))

    def next_trainings(self, losses: TrainingLosses) -> list[ScheduledTraining]:
        """Return the next trainings, or none if the search is complete.

        Args:
            losses: losses of all earlier trainings.
        """
        trainings = [
            training
            for name, number in self._allocate(losses).items()
            for training in self._schedule(name, number, losses)
        ]
        for training in trainings:
            self._scheduled[training.id.candidate].append(training)
        return trainings

    def _allocate(self, losses: TrainingLosses) -> Mapping[str, int]:
        """Return the number of next trainings of each candidate."""
        completed = {name: len(trainings) for name, trainings in self._scheduled.items()}
        remaining = {name: self._size(name) - completed[name] for name in self._spaces}
        n_completed = sum(completed.values())
        if self._search.sampler in ENUMERATING_SAMPLERS:
            return {} if n_completed else remaining
        if not n_completed:
            return {name: min(INITIAL_TRAININGS, number) for name, number in remaining.items()}
        n_next = min(max(2, len(self._spaces)), max(0, self._search.n_trials - n_completed))
        return allocate_trainings(self._losses_by_candidate(losses), completed, remaining, n_next)

    def _losses_by_candidate(self, losses: TrainingLosses) -> dict[str, list[float]]:
        return {
            name: [
                losses[training.id]
                for training in trainings
                if training.id in losses and isfinite(losses[training.id])
            ]
            for name, trainings in self._scheduled.items()
        }

    def _schedule(self, name: str, number: int, losses: TrainingLosses) -> list[ScheduledTraining]:
        """Return the next trainings of a candidate."""
        first = len(self._scheduled[name])
        ids = [TrainingId(name, first + index) for index in range(number)]
        parameters = self._choose_parameters(name, first, number, losses)
        return [ScheduledTraining(*pair) for pair in zip(ids, parameters, strict=True)]

    def _choose_parameters(
        self, name: str, first: int, number: int, losses: TrainingLosses
    ) -> Sequence[Parameters]:
        enumerated, space = self._enumerated[name], self._spaces[name]
        if enumerated is not None:
            return enumerated[first : first + number]
        if self._search.sampler == "tpe":
            earlier = [(training.parameters, losses[training.id]) for training in self._scheduled[name]]
            return propose_parameters(space, earlier, number, seed_for(self._seed, "tpe", name, first))
        return [draw_random_training(space, self._seed, name, first + index) for index in range(number)]

    def _enumerate(self, name: str) -> Sequence[Parameters] | None:
        """Return all trainings of a candidate in order, or None if they are drawn one by one."""
        space = self._spaces[name]
        if self._search.sampler in ENUMERATING_SAMPLERS:
            return space.enumerate_trainings()
        if not space.is_finite or (self._search.sampler == "tpe" and len(space.enumerate_trainings()) > 1):
            return None
        return shuffle_trainings(space, self._seed, name)

    def _size(self, name: str) -> int:
        """Return the number of trainings of a candidate. TPE may repeat some, but gets no more in total."""
        enumerated, space = self._enumerated[name], self._spaces[name]
        if enumerated is not None:
            return len(enumerated)
        return len(space.enumerate_trainings()) if space.is_finite else UNLIMITED
