"""Round planner: chooses the trainings of each round of a search, and their order.

`grid` and `defaults` have one round, with all trainings. `random` and `tpe` have a first round with a few
trainings of every candidate, then rounds that follow the adaptive budget (adaptive_budget.py).

With `order: baseline-first`, the first training of every candidate comes before any second one, and the
baselines come first of all, so that candidates can be compared within seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.config.offline import SearchParams
from experiments.search.adaptive_budget import INITIAL_TRAININGS, allocate_trainings
from experiments.search.training_result import TrainingId, TrainingResult
from experiments.search.training_space import (
    ENUMERATING_SAMPLERS,
    CandidateSpace,
    draw_random_training,
    shuffle_trainings,
)
from marquee.algorithms.registry import Parameters

BASELINES = ("normal_predictor", "baseline_only")
UNLIMITED = 1 << 30


@dataclass(frozen=True)
class ScheduledTraining:
    """A training to run. If `parameters` is None, the sampler draws them when a worker claims it."""

    id: TrainingId
    parameters: Parameters | None


class RoundPlanner:
    """Plans the rounds of a search, each from the results of all earlier rounds.

    Args:
        search: the `search` block of params.yaml.
        spaces: search space of every candidate, in the order of params.yaml.
        seed: root seed of the random samplers.
        metric: error by which the adaptive budget compares trainings, `rmse` or `mae`.
    """

    def __init__(
        self, search: SearchParams, spaces: Mapping[str, CandidateSpace], seed: int, metric: str
    ) -> None:
        self._search, self._spaces, self._seed, self._metric = search, spaces, seed, metric
        self._enumerated = {name: self._enumerate(name) for name in spaces}

    @property
    def max_trainings(self) -> int:
        """Upper bound for the number of trainings of the whole search."""
        total = sum(self._size(name) for name in self._spaces)
        if self._search.sampler in ENUMERATING_SAMPLERS:
            return total
        initial = sum(min(INITIAL_TRAININGS, self._size(name)) for name in self._spaces)
        return min(total, max(self._search.n_trials, initial))

    def next_round(self, results: Mapping[TrainingId, TrainingResult]) -> list[ScheduledTraining]:
        """Return the trainings of the next round in the order to run them, or none if the search is complete.

        Args:
            results: results of all earlier rounds. A round depends on nothing else, so an interrupted search
                resumes with the same rounds.
        """
        completed = {
            name: sum(training_id.candidate == name for training_id in results) for name in self._spaces
        }
        return self._in_order(self._allocation(results, completed), completed)

    def _allocation(
        self, results: Mapping[TrainingId, TrainingResult], completed: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Return the number of trainings of each candidate in the next round."""
        remaining = {name: self._size(name) - completed[name] for name in self._spaces}
        if self._search.sampler in ENUMERATING_SAMPLERS:
            return {} if results else remaining
        if not results:
            return {name: min(INITIAL_TRAININGS, number) for name, number in remaining.items()}
        round_size = min(max(2, len(self._spaces)), max(0, self._search.n_trials - len(results)))
        return allocate_trainings(self._errors(results), completed, remaining, round_size)

    def _errors(self, results: Mapping[TrainingId, TrainingResult]) -> dict[str, list[float]]:
        errors: dict[str, list[float]] = {name: [] for name in self._spaces}
        for training_id in sorted(results):
            error = results[training_id].best_error(self._metric)
            if error is not None:
                errors[training_id.candidate].append(error)
        return errors

    def _in_order(
        self, allocation: Mapping[str, int], completed: Mapping[str, int]
    ) -> list[ScheduledTraining]:
        ids = [
            TrainingId(name, completed[name] + index)
            for name, number in allocation.items()
            for index in range(number)
        ]
        if self._search.order == "baseline-first":
            names = sorted(self._spaces, key=lambda name: name not in BASELINES)
            ids.sort(key=lambda training_id: (training_id.number, names.index(training_id.candidate)))
        return [ScheduledTraining(training_id, self._parameters(training_id)) for training_id in ids]

    def _parameters(self, training_id: TrainingId) -> Parameters | None:
        enumerated = self._enumerated[training_id.candidate]
        if enumerated is not None:
            return enumerated[training_id.number]
        if self._search.sampler == "tpe":
            return None
        return draw_random_training(
            self._spaces[training_id.candidate], self._seed, training_id.candidate, training_id.number
        )

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
