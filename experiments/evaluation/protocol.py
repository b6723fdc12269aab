"""Evaluation protocol: how long the evaluated lists are, and which held-out items are relevant."""

from dataclasses import dataclass

import numpy as np

from marquee.array_types import BoolArray, Float64Array, RatingScale

RELEVANCE_QUANTILE = 0.75  # of the rating scale: 4 on a scale from 1 to 5


@dataclass(frozen=True)
class EvaluationProtocol:
    """Length of the evaluated lists, and which held-out items are relevant.

    Attributes:
        n: items per list.
        relevance_threshold: lowest rating, or weight, of a relevant held-out item.
        is_graded: True if items with larger weights are more relevant, for graded NDCG (implicit feedback).
    """

    n: int
    relevance_threshold: float
    is_graded: bool = False

    @classmethod
    def from_params(
        cls, n: int, relevance_threshold: float | None, scale: RatingScale
    ) -> "EvaluationProtocol":
        """Return the protocol for the `measure` values of params.yaml.

        Args:
            n: items per list.
            relevance_threshold: in stars; None: three quarters of the way up the rating scale.
            scale: lowest and highest rating.
        """
        if relevance_threshold is None:
            low, high = scale
            relevance_threshold = low + RELEVANCE_QUANTILE * (high - low)
        return cls(n, relevance_threshold)

    def is_relevant(self, values: Float64Array) -> BoolArray:
        """Return True for each held-out rating or weight of a relevant item."""
        return np.asarray(values >= self.relevance_threshold)
