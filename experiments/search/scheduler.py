"""Which trainings are asked for, and in which order.

grid, defaults   all that there are, in one round
random, tpe      a round after the other within the budget, shared by promise

Within a round every candidate's first training comes before anybody's second, the cheap ones first: after
seconds there is a leaderboard to look at.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.config.offline import Search
from experiments.search.budget import FIRST, allot
from experiments.search.space import (
    COMPLETE,
    Axes,
    drawn_training,
    shuffled_trainings,
)
from experiments.search.training_queue import Slot
from experiments.search.training_result import Outcome
from marquee.algorithms.registry import Parameters

BASELINES = ("normal_predictor", "baseline_only")  # what everybody is compared with comes first
UNBOUNDED = 1 << 30


@dataclass(frozen=True)
class Asked:
    """One training to be asked for; without parameters the storage's sampler draws them."""

    slot: Slot
    training: Parameters | None


class Planner:
    """The rounds of one search, each decided by what those before came to."""

    def __init__(self, search: Search, axes: Mapping[str, Axes], seed: int, metric: str) -> None:
        self._search, self._axes, self._seed, self._metric = search, axes, seed, metric
        self._lists = {name: self._listed(name) for name in axes}

    def round(self, told: Mapping[Slot, Outcome]) -> list[Asked]:
        """The next round, given the outcomes of all before; empty: there is none."""
        if self._search.sampler in COMPLETE:
            given = {name: len(self._lists[name] or ()) for name in self._axes} if not told else {}
            return self._asked(given, dict.fromkeys(self._axes, 0))
        done = {name: sum(slot[0] == name for slot in told) for name in self._axes}
        left = {name: self._size(name) - done[name] for name in self._axes}
        budget = max(0, self._search.n_trials - len(told))
        if not told:
            return self._asked({name: min(FIRST, left[name]) for name in self._axes}, done)
        errors = {
            name: [
                best
                for slot in sorted(told)
                if slot[0] == name and (best := told[slot].best(self._metric)) is not None
            ]
            for name in self._axes
        }
        return self._asked(allot(errors, done, left, min(budget, max(2, len(self._axes)))), done)

    @property
    def n_known(self) -> int:
        """How many trainings there will be at most."""
        every = sum(self._size(name) for name in self._axes)
        if self._search.sampler in COMPLETE:
            return every
        first = sum(min(FIRST, self._size(name)) for name in self._axes)
        return min(every, max(self._search.n_trials, first))

    def _asked(self, given: Mapping[str, int], done: Mapping[str, int]) -> list[Asked]:
        slots = [(name, done[name] + n) for name, number in given.items() for n in range(number)]
        if self._search.order == "baseline-first":
            names = sorted(self._axes, key=lambda name: (name not in BASELINES, list(self._axes).index(name)))
            slots.sort(key=lambda slot: (slot[1], names.index(slot[0])))
        return [Asked(slot, self._training(slot)) for slot in slots]

    def _training(self, slot: Slot) -> Parameters | None:
        name, number = slot
        listed = self._lists[name]
        if listed is not None:
            return listed[number]
        if self._search.sampler == "tpe":
            return None
        return drawn_training(self._axes[name], self._seed, name, number)

    def _listed(self, name: str) -> list[Parameters] | None:
        """All trainings of a candidate where there is an end to them; None: they are drawn one by one."""
        axes = self._axes[name]
        if self._search.sampler in COMPLETE:
            return axes.trainings()
        if not axes.is_finite or (self._search.sampler == "tpe" and len(axes.trainings()) > 1):
            return None
        return shuffled_trainings(axes, self._seed, name)

    def _size(self, name: str) -> int:
        listed, axes = self._lists[name], self._axes[name]
        if listed is None:  # a sampler draws, and may draw one twice: but no more than there are
            return len(axes.trainings()) if axes.is_finite else UNBOUNDED
        return len(listed)
