r"""Item weights of an item-item model such as EASE: item scores from any history.

.. math:: s_i = \sum_j x_j B_{ji}

where :math:`x_j` is the weight of the interaction with item j, and the sum is over the items in the history
of a known user, of a visitor, or of both together. No training is needed. Only the largest weights of each
row of B are stored; the stored lists of known users are computed from all of them.
"""

from dataclasses import dataclass

import numpy as np

from marquee.array_types import Float32Array, Float64Array, FloatArray, Int32Array
from marquee.model.history_weighting import HistoryWeighting

ITEMS_PER_BLOCK = 256  # rows of B whose largest weights are selected at a time


@dataclass(frozen=True)
class ItemWeights:
    """The largest weights of each item, and the weights of all training interactions."""

    weight_items: Int32Array  # (n_items, k): items with a stored weight in row j of B, ascending
    item_weights: Float32Array  # (n_items, k): B_ji for each item i in `weight_items[j]`
    seen_weights: (
        Float32Array  # (n_interactions,): x of each training interaction, in the order of `seen_items`
    )
    weighting: HistoryWeighting

    @classmethod
    def from_matrix(
        cls, matrix: FloatArray, seen_values: Float64Array, weighting: HistoryWeighting, k: int
    ) -> "ItemWeights":
        """Keep the k weights with the largest absolute values of each row; of equal ones, the first.

        Args:
            matrix: B, (n_items, n_items).
            seen_values: rating or weight of each training interaction.
            weighting: function from these values to x.
            k: number of weights to keep.
        """
        width = min(k, len(matrix))
        items = np.empty((len(matrix), width), dtype=np.int32)
        for start in range(0, len(matrix), ITEMS_PER_BLOCK):
            items[start : start + ITEMS_PER_BLOCK] = _largest_columns(
                np.abs(matrix[start : start + ITEMS_PER_BLOCK]), width
            )
        weights = np.take_along_axis(matrix, items, axis=1).astype(np.float32)
        return cls(items, weights, weighting.weigh(seen_values).astype(np.float32), weighting)

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


def _largest_columns(block: FloatArray, n: int) -> Int32Array:
    """Return the columns of the n largest values of each row, in ascending order, (n_rows, n)."""
    n_smaller = block.shape[1] - n
    threshold = np.partition(block, n_smaller, axis=1)[:, n_smaller, None]
    above, equal = block > threshold, block == threshold
    n_ties = n - above.sum(axis=1, keepdims=True)
    selected = above | (equal & (np.cumsum(equal, axis=1) <= n_ties))
    return np.nonzero(selected)[1].reshape(len(block), n).astype(np.int32)
