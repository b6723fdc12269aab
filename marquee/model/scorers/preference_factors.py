r"""Stored scorer of iALS: the equation of a user is solved for any history.

.. math:: p = \Big(\sum_{i \in H} |w_i| q_i q_i^T + \alpha_0 Q^T Q
    + \lambda (|H| + \alpha_0 n)^\nu I\Big)^{-1} \sum_{i \in H: w_i > 0} w_i q_i

where w are the weights of the interactions in the history H, and n is the number of items. Unlike that of
`confidence_factors`, the regularization depends on the length of the history, and a weight adds no fixed
confidence. Rendle et al. (2022), Revisiting the Performance of iALS on Item Recommendation Benchmarks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, Int32Array
from marquee.model.history_weighting import HistoryWeighting, is_weighting
from marquee.model.json_checks import is_number
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind
from marquee.model.scorers.weighted_history import WeightedHistoryScorer

MIN_REG = 1e-9  # keeps the system solvable if the model has no regularization
NUMBERS = ("unobserved_weight", "reg", "reg_exponent")


@register_kind
@dataclass(frozen=True)
class PreferenceFactors:
    """Item factors of iALS.

    Attributes:
        item_factors: Q (n_items, n_factors).
        unobserved_weight: weight of every pair with preference 0.
        reg: regularization.
        reg_exponent: exponent of the size by which the regularization is scaled.
        weighting: function from ratings or weights to the weights that the model was trained on.
    """

    item_factors: Float32Array
    unobserved_weight: float
    reg: float
    reg_exponent: float
    weighting: HistoryWeighting
    kind: ClassVar[str] = "preference_factors"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are three numbers of at least 0 and a weighting."""
        return (
            constants.keys() == {"weighting", *NUMBERS}
            and all(is_number(constants[name]) and constants[name] >= 0 for name in NUMBERS)
            and is_weighting(constants["weighting"])
        )

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the name of the array of item factors."""
        return ("item_factors",)

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and constants."""
        numbers = {name: float(constants[name]) for name in NUMBERS}
        return cls(arrays["item_factors"], **numbers, weighting=HistoryWeighting(**constants["weighting"]))

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the item factors."""
        return {"item_factors": self.item_factors}

    def constants(self) -> Mapping[str, Any]:
        """Return the parameters of the equation, and the weighting."""
        return {**{name: getattr(self, name) for name in NUMBERS}, "weighting": self.weighting.to_json()}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:  # noqa: ARG002  part of the interface
        """Return the specification of the item factors."""
        width = np.atleast_1d(self.item_factors).shape[-1]
        return {"item_factors": ArraySpec(np.float32, (n_items, width))}

    def create_scorer(self, training: TrainingHistories) -> "PreferenceScorer":
        """Create the scorer."""
        return PreferenceScorer(self, training)


class PreferenceScorer(WeightedHistoryScorer):
    """Solves the equation of a user; interactions without a positive leave all scores at 0."""

    def __init__(self, stored: PreferenceFactors, training: TrainingHistories) -> None:
        super().__init__(stored.weighting, training)
        self._stored = stored
        Q = stored.item_factors.astype(np.float64)
        self._unobserved_gram = stored.unobserved_weight * (Q.T @ Q)

    def _score(self, items: Int32Array, weights: Float64Array) -> Float32Array:
        factors = self._solve(items, weights).astype(np.float32)
        scores: Float32Array = self._stored.item_factors @ factors
        return scores

    def _solve(self, items: Int32Array, weights: Float64Array) -> Float64Array:
        """Return the factors of a user with these items, whose weights are not 0; (n_factors,)."""
        stored = self._stored
        Q = stored.item_factors[items].astype(np.float64)
        size = len(items) + stored.unobserved_weight * len(stored.item_factors)
        system = (Q.T * np.abs(weights)) @ Q + self._unobserved_gram
        reg = max(stored.reg * max(size, 1.0) ** stored.reg_exponent, MIN_REG)
        system[np.diag_indices_from(system)] += reg
        return np.asarray(np.linalg.solve(system, np.maximum(weights, 0.0) @ Q), dtype=np.float64)
