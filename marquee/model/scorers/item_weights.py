r"""Stored scorer of an item-item model such as EASE: item scores from any history.

.. math:: s_i = \sum_j x_j B_{ji}

where :math:`x_j` is the weight of the interaction with item j, and the sum is over the items in the history
of a known user, of a visitor, or of both together. No training is needed. Only the largest weights of each
row of B are stored; the stored lists of known users are computed from all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, FloatArray, Int32Array
from marquee.model.history_weighting import HistoryWeighting, is_weighting
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind
from marquee.model.scorers.weighted_history import WeightedHistoryScorer

ITEMS_PER_BLOCK = 256  # rows of B whose largest weights are selected at a time


@register_kind
@dataclass(frozen=True)
class ItemWeights:
    """The largest weights of each item."""

    weight_items: Int32Array  # (n_items, k): items with a stored weight in row j of B, ascending
    item_weights: Float32Array  # (n_items, k): B_ji for each item i in `weight_items[j]`
    weighting: HistoryWeighting
    kind: ClassVar[str] = "item_weights"

    @classmethod
    def from_matrix(cls, matrix: FloatArray, weighting: HistoryWeighting, k: int) -> Self:
        """Keep the k weights with the largest absolute values of each row; of equal ones, the first.

        Args:
            matrix: B, (n_items, n_items).
            weighting: function from ratings or weights to x.
            k: number of weights to keep.
        """
        width = min(k, len(matrix))
        items = np.empty((len(matrix), width), dtype=np.int32)
        for start in range(0, len(matrix), ITEMS_PER_BLOCK):
            items[start : start + ITEMS_PER_BLOCK] = _largest_columns(
                np.abs(matrix[start : start + ITEMS_PER_BLOCK]), width
            )
        return cls(items, np.take_along_axis(matrix, items, axis=1).astype(np.float32), weighting)

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if this is a weighting."""
        return constants.keys() == {"weighting"} and is_weighting(constants["weighting"])

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the names of both arrays."""
        return "weight_items", "item_weights"

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and this weighting."""
        return cls(**arrays, weighting=HistoryWeighting(**constants["weighting"]))

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the items and weights of each row."""
        return {"weight_items": self.weight_items, "item_weights": self.item_weights}

    def constants(self) -> Mapping[str, Any]:
        """Return the weighting."""
        return {"weighting": self.weighting.to_json()}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:  # noqa: ARG002  part of the interface
        """Return the specification of both arrays."""
        width = np.atleast_1d(self.weight_items).shape[-1]
        return {
            "weight_items": ArraySpec(np.int32, (n_items, width), n_ids=n_items),
            "item_weights": ArraySpec(np.float32, (n_items, width)),
        }

    def create_scorer(self, training: TrainingHistories) -> "ItemWeightScorer":
        """Create the scorer."""
        return ItemWeightScorer(self, training)

    def score_items(self, items: Int32Array, weights: FloatArray) -> Float32Array:
        """Return the scores of all items for a history, shape (n_items,).

        Args:
            items: inner ids of the items in the history.
            weights: x of each of them.
        """
        products = self.item_weights[items] * np.asarray(weights, dtype=np.float32)[:, None]
        indices = self.weight_items[items].ravel()
        scores = np.bincount(indices, products.ravel(), minlength=len(self.item_weights))
        return scores.astype(np.float32)


class WeightTable(Protocol):
    """Stored weights of an item-item model, in any form."""

    @property
    def weighting(self) -> HistoryWeighting:
        """Function from ratings or weights to x."""

    def score_items(self, items: Int32Array, weights: FloatArray) -> Float32Array:
        """Return the scores of all items for a history, shape (n_items,)."""


class ItemWeightScorer(WeightedHistoryScorer):
    """Sums item weights over the whole history of a user."""

    needs_positive = False

    def __init__(self, stored: WeightTable, training: TrainingHistories) -> None:
        super().__init__(stored.weighting, training)
        self._stored = stored

    def _score(self, items: Int32Array, weights: Float64Array) -> Float32Array:
        return self._stored.score_items(items, weights)


def _largest_columns(block: FloatArray, n: int) -> Int32Array:
    """Return the columns of the n largest values of each row, in ascending order, (n_rows, n)."""
    n_smaller = block.shape[1] - n
    threshold = np.partition(block, n_smaller, axis=1)[:, n_smaller, None]
    above, equal = block > threshold, block == threshold
    n_ties = n - above.sum(axis=1, keepdims=True)
    selected = above | (equal & (np.cumsum(equal, axis=1) <= n_ties))
    return np.nonzero(selected)[1].reshape(len(block), n).astype(np.int32)
