"""Blends of a search: which trials are their members, and with which weights.

After all other trainings, the best trials of different rankers become the members of one more training. Its
points are the blends of two or more of the members, each with equal weights and with the best member counted
twice. All of them share the fitted members. Like other points, they are scored on the validation parts, and
dropped when they are clearly worse than the leader.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from typing import Any

from experiments.search.trials import WEIGHTING_PARAMETERS, point_key
from marquee.algorithms.registry import BLEND, REGISTRY, Parameters, find_algorithm

BEST_MEMBER_WEIGHTS = (1.0, 2.0)


@dataclass(frozen=True)
class ScoredPoint:
    """A point of the search space and its mean loss over the validation parts; lower is better."""

    algorithm: str
    parameters: Parameters
    loss: float

    @property
    def family(self) -> tuple[object, ...]:
        """Algorithm and weighting: of points that agree in both, only the best becomes a member.

        A variant that is a subclass of another algorithm counts as that one.
        """
        names = {entry.class_name: entry.name for entry in REGISTRY.values()}
        algorithm = find_algorithm(self.algorithm).create(self.parameters, 0)  # has default values, too
        ancestors = reversed(type(algorithm).__mro__)
        root = next(names[ancestor.__name__] for ancestor in ancestors if ancestor.__name__ in names)
        return root, *(getattr(algorithm, name, None) for name in WEIGHTING_PARAMETERS)

    @property
    def key(self) -> str:
        """Text that identifies the point, for ties."""
        return point_key(self.algorithm, self.parameters)


def choose_members(points: Iterable[ScoredPoint], max_members: int) -> list[dict[str, Any]]:
    """Return the best points of different families as members of a blend, best first.

    Args:
        points: points of all candidates; those without a finite loss are ignored.
        max_members: maximum number of members.

    Returns:
        Algorithm and parameters of each member; empty if fewer than two families can be blended.
    """
    best: dict[tuple[object, ...], ScoredPoint] = {}
    for point in sorted(points, key=lambda point: (point.loss, point.key)):
        if isfinite(point.loss) and _can_be_blended(point.algorithm):
            best.setdefault(point.family, point)
    chosen = list(best.values())[:max_members]
    members = [{"algorithm": point.algorithm, "parameters": dict(point.parameters)} for point in chosen]
    return members if len(members) > 1 else []


def weigh_members(members: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the members of every blend of at least two of these members, with weights.

    >>> [[member["weight"] for member in blend] for blend in weigh_members([{"algorithm": "ease"}] * 2)]
    [[1.0, 1.0], [2.0, 1.0]]
    """
    blends = []
    for size in range(2, len(members) + 1):
        for chosen in combinations(range(len(members)), size):
            for best_weight in BEST_MEMBER_WEIGHTS if 0 in chosen else (1.0,):
                weights = [best_weight if number == 0 else 1.0 for number in chosen]
                pairs = zip(chosen, weights, strict=True)
                blends.append([{**members[number], "weight": weight} for number, weight in pairs])
    return blends


def _can_be_blended(algorithm: str) -> bool:
    """Return True for rankers whose scores follow from a history, except a blend itself."""
    algorithm_class = find_algorithm(algorithm).algorithm_class
    return algorithm_class.is_ranker and algorithm_class.uses_histories and algorithm != BLEND
