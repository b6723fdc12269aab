"""Stored scorer of a blend: the stored scorers of its members, and the weight of each.

The formula is that of `marquee.algorithms.blend`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array
from marquee.model.json_checks import is_number
from marquee.model.scorers.history import History, TrainingHistories
from marquee.model.scorers.stored_scorer import (
    ArraySpec,
    Scorer,
    StoredScorer,
    describe_scorer,
    is_description,
    list_array_names,
    register_kind,
    restore_scorer,
)

# A standard deviation below this share of the largest score is that of rounding errors: float32 has seven
# digits. Dividing by it would give noise as much influence as the scores of another member.
MIN_RELATIVE_DEVIATION = 1e-6


@register_kind
@dataclass(frozen=True)
class BlendedScorers:
    """Stored scorers of the members of a blend, and their weights."""

    members: tuple[StoredScorer, ...]
    weights: tuple[float, ...]
    kind: ClassVar[str] = "blend"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are valid members, each with a weight."""
        if constants.keys() != {"members", "weights"}:
            return False
        members, weights = constants["members"], constants["weights"]
        return (
            isinstance(members, list)
            and isinstance(weights, list)
            and len(members) == len(weights) > 0
            and all(map(is_description, members))
            and all(is_number(weight) and 0 < weight < inf for weight in weights)
        )

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the arrays of all members."""
        members = enumerate(constants["members"])
        return tuple(
            _array_name(number, name) for number, member in members for name in list_array_names(member)
        )

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these members and weights."""
        members = (
            restore_scorer(member, partial(_find_array, arrays, number))
            for number, member in enumerate(constants["members"])
        )
        return cls(tuple(members), tuple(constants["weights"]))

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the arrays of all members."""
        return {
            _array_name(number, name): array
            for number, member in enumerate(self.members)
            for name, array in member.arrays().items()
        }

    def constants(self) -> Mapping[str, Any]:
        """Return kinds, constants and weights of all members."""
        return {
            "members": [describe_scorer(member) for member in self.members],
            "weights": list(self.weights),
        }

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return the specification of the arrays of all members."""
        return {
            _array_name(number, name): spec
            for number, member in enumerate(self.members)
            for name, spec in member.array_specs(n_users, n_items).items()
        }

    def create_scorer(self, training: TrainingHistories) -> "BlendScorer":
        """Create the scorer."""
        return BlendScorer([member.create_scorer(training) for member in self.members], self.weights)


class BlendScorer:
    """Weighted sum of the standardized scores of other scorers."""

    def __init__(self, members: list[Scorer], weights: tuple[float, ...]) -> None:
        self._members, self._weights = members, weights

    def can_score(self, history: History) -> bool:
        """Return True if a member can score this history."""
        return any(member.can_score(history) for member in self._members)

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the blended scores of all items for a known user."""
        return _combine((member.score_user(user, recent) for member in self._members), self._weights)

    def score_history(self, history: History) -> Float32Array:
        """Return the blended scores of all items for this history, by the members that can score it."""
        weighted = zip(self._members, self._weights, strict=True)
        able = [(member, weight) for member, weight in weighted if member.can_score(history)]
        return _combine((member.score_history(history) for member, _ in able), [weight for _, weight in able])


def _array_name(member: int, name: str) -> str:
    """Return the name of an array of a member among those of the blend."""
    return f"member_{member}_{name}"


def _find_array(arrays: Mapping[str, AnyArray], member: int, name: str) -> AnyArray:
    """Return an array of a member."""
    return arrays[_array_name(member, name)]


def _combine(scores_of_members: Iterable[Float32Array], weights: Iterable[float]) -> Float32Array:
    """Return the weighted sum of standardized scores; scores that differ by rounding only add nothing."""
    total: Float32Array | None = None
    for scores, weight in zip(scores_of_members, weights, strict=True):
        deviation = float(scores.std(dtype=np.float64))
        is_constant = deviation <= MIN_RELATIVE_DEVIATION * float(np.abs(scores).max())
        factor = np.float32(0.0 if is_constant else weight / deviation)
        member = (scores - np.float32(scores.mean(dtype=np.float64))) * factor
        total = member if total is None else total + member
    assert total is not None, "a blend has members, and a scored history can be scored by one of them"
    return total
