"""Stored scorer of a blend: the stored scorers of its parts, and the weight of each.

The formula is that of `marquee.algorithms.blend`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
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


@register_kind
@dataclass(frozen=True)
class BlendedScorers:
    """Stored scorers of the parts of a blend, and their weights."""

    parts: tuple[StoredScorer, ...]
    weights: tuple[float, ...]
    kind: ClassVar[str] = "blend"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are valid parts, each with a weight."""
        if constants.keys() != {"parts", "weights"}:
            return False
        parts, weights = constants["parts"], constants["weights"]
        return (
            isinstance(parts, list)
            and isinstance(weights, list)
            and len(parts) == len(weights)
            and all(map(is_description, parts))
            and all(map(is_number, weights))
        )

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the arrays of all parts."""
        parts = enumerate(constants["parts"])
        return tuple(_array_name(number, name) for number, part in parts for name in list_array_names(part))

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these parts and weights."""
        parts = (
            restore_scorer(part, partial(_find_array, arrays, number))
            for number, part in enumerate(constants["parts"])
        )
        return cls(tuple(parts), tuple(constants["weights"]))

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the arrays of all parts."""
        return {
            _array_name(number, name): array
            for number, part in enumerate(self.parts)
            for name, array in part.arrays().items()
        }

    def constants(self) -> Mapping[str, Any]:
        """Return kinds, constants and weights of all parts."""
        return {"parts": [describe_scorer(part) for part in self.parts], "weights": list(self.weights)}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return the specification of the arrays of all parts."""
        return {
            _array_name(number, name): spec
            for number, part in enumerate(self.parts)
            for name, spec in part.array_specs(n_users, n_items).items()
        }

    def create_scorer(self, training: TrainingHistories) -> "BlendScorer":
        """Create the scorer."""
        return BlendScorer([part.create_scorer(training) for part in self.parts], self.weights)


class BlendScorer:
    """Weighted sum of the standardized scores of other scorers."""

    def __init__(self, parts: list[Scorer], weights: tuple[float, ...]) -> None:
        self._parts, self._weights = parts, weights

    def can_score(self, history: History) -> bool:
        """Return True if a part can score this history."""
        return any(part.can_score(history) for part in self._parts)

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the blended scores of all items for a known user."""
        return _combine((part.score_user(user, recent) for part in self._parts), self._weights)

    def score_history(self, history: History) -> Float32Array:
        """Return the blended scores of all items for this history, by the parts that can score it."""
        weighted = zip(self._parts, self._weights, strict=True)
        able = [(part, weight) for part, weight in weighted if part.can_score(history)]
        return _combine((part.score_history(history) for part, _ in able), [weight for _, weight in able])


def _array_name(part: int, name: str) -> str:
    """Return the name of an array of a part among those of the blend."""
    return f"part_{part}_{name}"


def _find_array(arrays: Mapping[str, AnyArray], part: int, name: str) -> AnyArray:
    """Return an array of a part."""
    return arrays[_array_name(part, name)]


def _combine(scores_of_parts: Iterable[Float32Array], weights: Iterable[float]) -> Float32Array:
    """Return the weighted sum of standardized scores; equal scores of all items add nothing."""
    total: Float32Array | None = None
    for scores, weight in zip(scores_of_parts, weights, strict=True):
        deviation = float(scores.std(dtype=np.float64))
        factor = np.float32(weight / deviation if deviation > 0 else 0.0)
        part = (scores - np.float32(scores.mean(dtype=np.float64))) * factor
        total = part if total is None else total + part
    assert total is not None, "a blend has parts, and a scored history can be scored by one of them"
    return total
