"""Evaluation protocol: how long the evaluated lists are, and which held-out items are relevant."""

from dataclasses import dataclass

import numpy as np

from marquee.array_types import BoolArray, Float64Array


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

    def is_relevant(self, values: Float64Array) -> BoolArray:
        """Return True for each held-out rating or weight of a relevant item."""
        return np.asarray(values >= self.relevance_threshold)
