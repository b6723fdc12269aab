r"""Stored scorer of factor models that map a history to the factors of its user, such as BPR.

.. math:: s_i = b_i + p^T q_i, \qquad p = p_u + W^T (x_H - x_{H_u}), \qquad
    x_H = |H|^{-1/2} \sum_{j \in H} q_j

where H are the positives of the user until now, and :math:`H_u` those of training, from which the factors
:math:`p_u` were learned. For a visitor, :math:`p_u` and :math:`x_{H_u}` are 0. W is that of
`marquee.algorithms.history_map`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, Int32Array
from marquee.model.history_weighting import HistoryWeighting, is_weighting
from marquee.model.scorers.history import (
    History,
    TrainingHistories,
    has_positive,
    weigh_history,
    weigh_user,
)
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind

ARRAYS = ("item_factors", "item_biases", "user_factors", "history_map")


@register_kind
@dataclass(frozen=True)
class MappedFactors:
    """Factors, item biases, and the map from histories to user factors."""

    item_factors: Float32Array  # (n_items, k)
    item_biases: Float32Array  # (n_items,)
    user_factors: Float32Array  # (n_users, k)
    history_map: Float64Array  # W (k, k)
    weighting: HistoryWeighting  # a positive is an interaction whose weight is above 0
    kind: ClassVar[str] = "mapped_factors"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if the only constant is a weighting."""
        return constants.keys() == {"weighting"} and is_weighting(constants["weighting"])

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the names of the four arrays."""
        return ARRAYS

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and constants."""
        weighting = HistoryWeighting(**constants["weighting"])
        return cls(**{name: arrays[name] for name in ARRAYS}, weighting=weighting)

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the four arrays."""
        return {name: getattr(self, name) for name in ARRAYS}

    def constants(self) -> Mapping[str, Any]:
        """Return the weighting."""
        return {"weighting": self.weighting.to_json()}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return the specification of the four arrays."""
        k = np.atleast_1d(self.item_factors).shape[-1]
        return {
            "item_factors": ArraySpec(np.float32, (n_items, k)),
            "item_biases": ArraySpec(np.float32, (n_items,)),
            "user_factors": ArraySpec(np.float32, (n_users, k)),
            "history_map": ArraySpec(np.float64, (k, k)),
        }

    def create_scorer(self, training: TrainingHistories) -> "MappedFactorScorer":
        """Create the scorer."""
        return MappedFactorScorer(self, training)

    def map_history(self, items: Int32Array, weights: Float64Array) -> Float64Array:
        """Return the factors of a user with these items, of which those with a weight above 0 count; (k,)."""
        positives = items[weights > 0]
        total = self.item_factors[positives].sum(axis=0, dtype=np.float64)
        factors: Float64Array = (total / np.sqrt(max(len(positives), 1))) @ self.history_map
        return factors

    def score_items(self, factors: Float64Array) -> Float32Array:
        """Return the scores of all items for a user with these factors, (n_items,)."""
        scores: Float32Array = self.item_factors @ factors.astype(np.float32)
        return scores + self.item_biases


class MappedFactorScorer:
    """Moves the factors of known users by what their new interactions change, and maps those of visitors."""

    def __init__(self, stored: MappedFactors, training: TrainingHistories) -> None:
        self._stored, self._training = stored, training

    def can_score(self, history: History) -> bool:
        """Return True if an interaction in the history is a positive."""
        return has_positive(history, self._stored.weighting)

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for a known user with these interactions since training."""
        factors = self._stored.user_factors[user].astype(np.float64)
        if recent:
            factors += self._map_user(user, recent) - self._map_user(user, {})
        return self._stored.score_items(factors)

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a user with this history."""
        return self._stored.score_items(
            self._stored.map_history(*weigh_history(history, self._stored.weighting))
        )

    def _map_user(self, user: int, recent: History) -> Float64Array:
        weighed = weigh_user(self._training, user, recent, self._stored.weighting)
        return self._stored.map_history(*weighed)
