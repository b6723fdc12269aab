r"""Stored scorer of weighted matrix factorization: the equation of a user is solved for any history.

.. math:: p = (Q^T C Q + \lambda I)^{-1} Q^T C x

where an item outside the history has confidence 1 and preference 0; Hu, Koren and Volinsky (2008),
Collaborative Filtering for Implicit Feedback Datasets, equation 4. It is the fold-in of `FactorSpace` with
covariance :math:`(Q^T Q + \lambda I)^{-1}`, precision :math:`c - 1` and rating :math:`c / (c - 1)` for a
preference of 1, or 0 for a preference of 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, Int32Array
from marquee.model.factor_scoring import FACTOR_ARRAYS, FACTOR_CONSTANTS, FactorSpace
from marquee.model.history_weighting import HistoryWeighting, is_weighting
from marquee.model.json_checks import is_number
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.rating_factors import factor_array_specs
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind
from marquee.model.scorers.weighted_history import WeightedHistoryScorer

MIN_PRECISION = 1e-9  # without additional confidence (alpha 0), the rating c / (c - 1) would be infinite


@register_kind
@dataclass(frozen=True)
class ConfidenceFactors:
    """Parameters of a weighted matrix factorization.

    Attributes:
        space: factors without biases; the prior covariance is that of the user equation.
        alpha: additional confidence of an interaction of weight 1.
        weighting: function from ratings or weights to the weights that the model was trained on.
    """

    space: FactorSpace
    alpha: float
    weighting: HistoryWeighting
    kind: ClassVar[str] = "confidence_factors"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are alpha, weighting, offset and noise."""
        return (
            constants.keys() == {"alpha", "weighting", *FACTOR_CONSTANTS}
            and all(is_number(constants[name]) for name in ("alpha", *FACTOR_CONSTANTS))
            and is_weighting(constants["weighting"])
        )

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the names of the arrays of a factor space."""
        return FACTOR_ARRAYS

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and constants."""
        return cls(
            FactorSpace.restore(arrays, constants),
            constants["alpha"],
            HistoryWeighting(**constants["weighting"]),
        )

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the arrays of the factor space."""
        return self.space.arrays()

    def constants(self) -> Mapping[str, Any]:
        """Return alpha, weighting, offset and noise."""
        return {"alpha": self.alpha, "weighting": self.weighting.to_json(), **self.space.constants()}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return the specification of the arrays of the factor space."""
        return factor_array_specs(self.space, n_users, n_items)

    def create_scorer(self, training: TrainingHistories) -> "ConfidenceScorer":
        """Create the scorer."""
        return ConfidenceScorer(self, training)


class ConfidenceScorer(WeightedHistoryScorer):
    """Solves the equation of a user; interactions without a positive leave all scores at 0."""

    def __init__(self, stored: ConfidenceFactors, training: TrainingHistories) -> None:
        super().__init__(stored.weighting, training)
        self._stored = stored

    def _score(self, items: Int32Array, weights: Float64Array) -> Float32Array:
        precisions = np.maximum(self._stored.alpha * np.abs(weights), MIN_PRECISION)
        ratings = np.where(weights > 0, (1 + precisions) / precisions, 0.0)
        space = self._stored.space
        return space.score_items(space.fold_in(items, ratings, precisions))
