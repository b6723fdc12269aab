"""Similarities of items, looked up in both directions."""

from dataclasses import dataclass

import numpy as np

from marquee.array_types import Float32Array, Float64Array, Int32Array, Int64Array
from marquee.top_n import PADDING


@dataclass(frozen=True, eq=False)
class ItemSimilarities:
    """Symmetric similarities from 0 to 1; pairs that are not stored have 0.

    >>> similar = np.array([[1], [PADDING]], dtype=np.int32)
    >>> similarities = ItemSimilarities.from_similar_items(similar, np.array([[0.5], [np.nan]]))
    >>> [array.tolist() for array in similarities.of_item(1)]
    [[0], [0.5]]
    """

    indptr: Int64Array  # (n_items + 1,)
    items: Int32Array  # the items similar to item i are `items[indptr[i]:indptr[i + 1]]`
    values: Float64Array

    @classmethod
    def from_similar_items(
        cls, similar_items: Int32Array, similarities: Float32Array | Float64Array
    ) -> "ItemSimilarities":
        """Build from the stored similar items of a model, both arrays of shape (n_items, m), padded.

        A pair that only one of its items has stored is similar in both directions.
        """
        n_items = len(similar_items)
        is_stored = similar_items != PADDING
        first = np.nonzero(is_stored)[0]
        second = similar_items[is_stored].astype(np.int64)
        values = np.clip(similarities[is_stored].astype(np.float64), 0.0, 1.0)
        rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
        both = np.concatenate([values, values])
        order = np.lexsort((-both, columns, rows))  # of a pair that is stored twice, the larger value first
        rows, columns, both = rows[order], columns[order], both[order]
        is_first = np.ones(len(rows), dtype=bool)
        is_first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
        indptr = np.zeros(n_items + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows[is_first], minlength=n_items), out=indptr[1:])
        return cls(indptr, columns[is_first].astype(np.int32), both[is_first])

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.indptr) - 1

    def of_item(self, item: int) -> tuple[Int32Array, Float64Array]:
        """Return the items that are similar to an item, and their similarities."""
        start, stop = self.indptr[item : item + 2]
        return self.items[start:stop], self.values[start:stop]
