"""Epochs: stretches of time in which each user counts anew.

A canary that breaks after an hour breaks for users who are known by then, and who is known tells nothing new.
So beside the whole rollout there are epochs of a minute, of ten minutes and of an hour. In each a user counts
once, and it is tested by itself: that users are in several of them does no harm, for the level is shared
among them. Who comes back may differ between arms, though, so in epochs more is tolerated, and whether the
arms are as large as they should be is not asked there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from marquee.rollout.evidence import FINEST, Comparison
from marquee.rollout.policy import DRIFTS


def _pair() -> list[int]:
    return [0, 0]


class ListFigures:
    """What drifts are seen by: figures of a list, one of them by the list before in the same arm."""

    def __init__(self, popularity: Mapping[str, float]) -> None:
        self._popularity = popularity
        self._before: dict[bool, frozenset[str]] = {}  # by arm

    def of(self, canary: bool, listed: Sequence[str]) -> dict[str, float]:
        """By drift; an empty list has none, and what cannot be known is not there."""
        if not listed:
            return {}
        items, found = frozenset(listed), {}
        if self._popularity:
            found["popularity"] = sum(self._popularity.get(item, 0.0) for item in items) / len(items)
        if before := self._before.get(canary):
            found["overlap"] = len(items & before) / min(len(items), len(before))
        self._before[canary] = items
        return found


class Epoch:
    """The present epoch of one scale; a comparison takes what it counts."""

    def __init__(self, comparison: Comparison, scale: int, popularity: Mapping[str, float]) -> None:
        self._comparison = comparison
        self._scale = scale
        self._seconds = comparison.scales_s[scale]
        self._figures = ListFigures(popularity)
        self._number, self._weight = -1, -1.0
        self._users = set[str]()
        self._hit: dict[str, set[str]] = defaultdict(set)  # by incident
        self._forget()

    def _forget(self) -> None:
        """What the comparison has taken."""
        self._new_hit: dict[str, list[int]] = defaultdict(_pair)
        self._lists: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in DRIFTS}

    def seen(  # noqa: PLR0917 - an exposure, as far as it matters here
        self, user: str, canary: bool, listed: Sequence[str], time: float, weight: float, there: bool
    ) -> None:
        """A list was shown; `there` is whether the canary was there to show some too."""
        if not self._turn(time, weight) or user in self._users:
            return
        self._users.add(user)
        for name, figure in self._figures.of(canary, listed).items() if there else ():
            self._lists[name][canary].append(figure)

    def happened(self, name: str, user: str, canary: bool, time: float, weight: float) -> None:
        """An incident happened to a user, or to whatever tells users apart where they are not known."""
        if self._turn(time, weight) and user not in self._hit[name]:
            self._hit[name].add(user)
            self._new_hit[name][canary] += 1

    def tell(self) -> None:
        """Have the comparison take what is new."""
        take, scale, weight = self._comparison, self._scale, self._weight
        for name, (stable, canary) in self._new_hit.items():
            take.incident(name, canary, stable + canary, weight, scale)
        for name, arms in self._lists.items():
            if arms[0] or arms[1]:
                take.lists(name, np.array(arms[1]), np.array(arms[0]), weight, scale)
        self._forget()

    def _turn(self, time: float, weight: float) -> bool:
        """Whether an event belongs to the present epoch, which may begin with it."""
        number = int(time // self._seconds)
        if weight < self._weight:  # of the step before
            return False
        # One that comes a little late counts in the epoch that is there.
        if number <= self._number and weight == self._weight:
            return True
        self.tell()
        if self._users or self._hit:
            if self._scale == FINEST:
                hit = {name: len(users) for name, users in self._hit.items()}
                told = self._comparison.together if self._weight == 1 else self._comparison.apart
                told(len(self._users), hit)
            self._comparison.begin_epoch(self._scale)
        self._number, self._weight = number, weight
        self._users.clear()
        self._hit.clear()
        return True
