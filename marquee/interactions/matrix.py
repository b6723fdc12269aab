"""Interaction matrix: the interactions table as a sparse matrix, by user and by item."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from marquee.array_types import Float64Array, Int32Array, Int64Array, RatingScale
from marquee.csr_rows import locate_rows
from marquee.errors import DataError
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, FeedbackType, value_column

DEFAULT_SCALE: RatingScale = (1.0, 5.0)  # the default of surprise.Reader

Ids: TypeAlias = tuple[Any, ...]  # strings in our tables, any hashable in a Surprise data set


@dataclass(frozen=True)
class EncodedInteractions:
    """Interactions table with ids replaced by inner ids: one entry per row, in source order.

    Inner ids follow the order of first appearance, as in scikit-surprise.
    """

    users: Int32Array  # (n_rows,)
    items: Int32Array  # (n_rows,)
    values: Float64Array  # (n_rows,); ratings or weights
    user_ids: Ids  # by inner id
    item_ids: Ids
    feedback: FeedbackType = "explicit"
    times: Int64Array | None = None  # (n_rows,); UTC seconds, None without timestamps

    @classmethod
    def from_frame(cls, interactions: pd.DataFrame) -> "EncodedInteractions":
        """Encode the user and item ids of an interactions table.

        Raises:
            DataError: the table is empty, lacks a user or item id, or has a non-finite value.
        """
        users, user_ids = pd.factorize(interactions[USER])
        items, item_ids = pd.factorize(interactions[ITEM])
        _check_ids_present(users, items)
        column = value_column(interactions)
        values = interactions[column].to_numpy(dtype=np.float64)
        check_rating_values(values)
        return cls(
            users.astype(np.int32),
            items.astype(np.int32),
            values,
            tuple(user_ids),
            tuple(item_ids),
            "explicit" if column == RATING else "implicit",
            interactions[TIMESTAMP].to_numpy(dtype=np.int64) if TIMESTAMP in interactions else None,
        )

    def take(self, rows: Int64Array) -> "EncodedInteractions":
        """Return a selection of the rows, in the order of `rows`, with new inner ids."""
        users, user_ids = _reencode(self.users[rows], self.user_ids)
        items, item_ids = _reencode(self.items[rows], self.item_ids)
        times = None if self.times is None else self.times[rows]
        return EncodedInteractions(users, items, self.values[rows], user_ids, item_ids, self.feedback, times)


@dataclass(frozen=True)
class SparseRows:
    """Matrix in CSR form: row r has `values[indptr[r]:indptr[r + 1]]` in the columns `indices[...]`.

    Entries of a row stay in source order, so columns are not sorted, and a column may occur twice.
    """

    indptr: Int64Array  # (n_rows + 1,)
    indices: Int32Array  # (n_entries,)
    values: Float64Array  # (n_entries,)

    @classmethod
    def from_triplets(
        cls, rows: Int32Array, columns: Int32Array, values: Float64Array, n_rows: int
    ) -> "SparseRows":
        """Group (row, column, value) triplets by row.

        >>> matrix = SparseRows.from_triplets(
        ...     np.array([1, 0, 1]), np.array([0, 2, 1]), np.array([4.0, 3.0, 5.0]), n_rows=2
        ... )
        >>> matrix.indptr.tolist(), matrix.indices.tolist(), matrix.values.tolist()
        ([0, 1, 3], [2, 0, 1], [3.0, 4.0, 5.0])
        """
        indptr, order = _group_rows(rows, n_rows)
        return cls(indptr, columns[order], values[order])

    def take(self, rows: Int32Array) -> "SparseRows":
        """Return these rows, in the given order.

        >>> matrix = SparseRows(np.array([0, 1, 3]), np.array([2, 0, 1]), np.array([3.0, 4.0, 5.0]))
        >>> matrix.take(np.array([1])).values.tolist()
        [4.0, 5.0]
        """
        indptr, entries = locate_rows(self.indptr, rows)
        return SparseRows(indptr, self.indices[entries], self.values[entries])

    @property
    def counts(self) -> Int64Array:
        """Number of entries of each row, shape (n_rows,)."""
        return np.diff(self.indptr)

    @property
    def means(self) -> Float64Array:
        """Mean value of each row, shape (n_rows,). No row may be empty."""
        return np.add.reduceat(self.values, self.indptr[:-1]) / self.counts


@dataclass(frozen=True)
class InteractionMatrix:
    """User-item matrix of ratings or weights in CSR form, with its transpose in `by_item`.

    User u interacted with `items[indptr[u]:indptr[u + 1]]`; the ratings, or the weights, are
    `values[indptr[u]:indptr[u + 1]]`, at `times[indptr[u]:indptr[u + 1]]`. All are in source order.
    With implicit feedback, the scale has no meaning.
    """

    indptr: Int64Array  # (n_users + 1,)
    items: Int32Array  # (n_interactions,)
    values: Float64Array  # (n_interactions,); ratings or weights
    user_ids: Ids  # by inner id
    item_ids: Ids
    by_item: SparseRows  # each item's users, in source order
    scale: RatingScale = DEFAULT_SCALE
    feedback: FeedbackType = "explicit"  # implicit: the values are weights, and the scale has no meaning
    times: Int64Array | None = None  # (n_interactions,); UTC seconds, None without timestamps

    @classmethod
    def from_encoded(
        cls, encoded: EncodedInteractions, scale: RatingScale = DEFAULT_SCALE
    ) -> "InteractionMatrix":
        """Group encoded interactions by user and by item; both keep the source order."""
        users, items, values = encoded.users, encoded.items, encoded.values
        indptr, order = _group_rows(users, len(encoded.user_ids))
        return cls(
            indptr,
            items[order],
            values[order],
            encoded.user_ids,
            encoded.item_ids,
            SparseRows.from_triplets(items, users, values, len(encoded.item_ids)),
            scale,
            encoded.feedback,
            None if encoded.times is None else encoded.times[order],
        )

    @classmethod
    def from_frame(
        cls, interactions: pd.DataFrame, scale: RatingScale = DEFAULT_SCALE
    ) -> "InteractionMatrix":
        """Encode and group an interactions table of ratings or weights.

        Raises:
            DataError: the table is empty, lacks a user or item id, or has a non-finite value.

        >>> ratings = pd.DataFrame({"user": ["ann", "bob"], "item": ["x", "x"], "rating": [4.0, 2.0]})
        >>> matrix = InteractionMatrix.from_frame(ratings)
        >>> matrix.user_ids, matrix.item_ids, matrix.by_item.means.tolist()
        (('ann', 'bob'), ('x',), [3.0])
        """
        return cls.from_encoded(EncodedInteractions.from_frame(interactions), scale)

    @property
    def by_user(self) -> SparseRows:
        """The matrix itself as `SparseRows`, the same form as `by_item`."""
        return SparseRows(self.indptr, self.items, self.values)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    def item_counts(self) -> Int64Array:
        """Return the number of interactions with each item, shape (n_items,)."""
        return self.by_item.counts


def check_rating_values(values: Float64Array) -> None:
    """Check that there are ratings or weights, and that all of them are finite.

    Raises:
        DataError: there are no values, or one is NaN or infinite.
    """
    if not len(values):
        raise DataError("the interactions table is empty: there is nothing to train on")
    invalid = np.flatnonzero(~np.isfinite(values))
    if len(invalid):
        raise DataError(
            f"{len(invalid)} of {len(values)} values are not finite, the first in row {invalid[0]} "
            f"({values[invalid[0]]}); the validate stage removes such rows"
        )


def stable_argsort(keys: Int32Array) -> Int64Array:
    """Return the stable sort order of non-negative keys, in linear time.

    NumPy uses radix sort for 16-bit keys (10 ms for a million) and a comparison sort for wider ones
    (80 ms), so the lower and the upper half of the keys are sorted one after the other.
    """
    keys = np.asarray(keys)
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    upper = keys >> 16
    if upper.any():
        order = order[np.argsort(upper[order].astype(np.uint16), kind="stable")]
    return order


def _group_rows(rows: Int32Array, n_rows: int) -> tuple[Int64Array, Int64Array]:
    """Return where each row begins in the stable order of triplets by row, and that order."""
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
    return indptr, stable_argsort(rows)


def _check_ids_present(users: Int64Array, items: Int64Array) -> None:
    """Raise a DataError if an id is missing, which `pd.factorize` marks with a negative code."""
    missing = np.flatnonzero((users < 0) | (items < 0))
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(users)} interactions lack a user or item id, the first in row "
            f"{missing[0]}; the validate stage removes such rows"
        )


def _reencode(codes: Int32Array, ids: Ids) -> tuple[Int32Array, Ids]:
    """Return new codes in order of first appearance, and the id of each code."""
    new_codes, old_codes = pd.factorize(codes)
    return new_codes.astype(np.int32), tuple(ids[code] for code in old_codes)
