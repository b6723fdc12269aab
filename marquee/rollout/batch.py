"""What is found in one go through the events of a rollout, by weight and arm: stable, canary."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from marquee.rollout.evidence import Comparison
from marquee.rollout.policy import DRIFTS

Pair = list[int]
Lists = dict[float, tuple[list[float], list[float]]]


def _pairs() -> dict[float, Pair]:
    return defaultdict(lambda: [0, 0])


def _lists() -> Lists:
    return defaultdict(lambda: ([], []))


@dataclass
class Batch:
    """Counts and figures of users."""

    users: dict[float, Pair] = field(default_factory=_pairs)
    incidents: dict[str, dict[float, Pair]] = field(default_factory=lambda: defaultdict(_pairs))
    lists: dict[str, Lists] = field(default_factory=lambda: {name: _lists() for name in DRIFTS})
    outcomes: Lists = field(default_factory=_lists)
    step_users: int = 0
    closed: int = 0  # windows with an outcome

    def count(self, comparison: Comparison) -> None:
        """Have a comparison take all of it."""
        comparison.answered(self.step_users)
        for weight, (stable, canary) in self.users.items():
            comparison.users(canary, stable + canary, weight)
        for name, by_weight in self.incidents.items():
            for weight, (stable, canary) in by_weight.items():
                comparison.incident(name, canary, stable + canary, weight)
        for name, figures in self.lists.items():
            for weight, arms in figures.items():
                comparison.lists(name, np.array(arms[1]), np.array(arms[0]), weight)
        for weight, arms in self.outcomes.items():
            comparison.outcomes(np.array(arms[1]), np.array(arms[0]), weight)
