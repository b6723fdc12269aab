"""The ratings table and `RatingMatrix`, its compressed form: the names and orders everybody agrees on.

    ratings   user (str) | item (str) | rating (float32) | timestamp (int64, UTC seconds; all rows or none)
    items     item (str) | title (str) | genres (str, joined by "|")

Source order is kept everywhere: it is the order in which stochastic gradient descent visits ratings.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from marquee.arrays import Floats, Indices, Integers, Scale
from marquee.errors import DataError

USER, ITEM, RATING, TIMESTAMP = "user", "item", "rating", "timestamp"
TITLE, GENRES = "title", "genres"
RATING_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"
DEFAULT_SCALE: Scale = (1.0, 5.0)  # that of scikit-surprise's Reader

Ids: TypeAlias = tuple[Any, ...]  # strings in our tables; whatever hashes in a data set of Surprise


@dataclass(frozen=True)
class CodedRatings:
    """A ratings table with ids replaced by numbers, row by row in source order.

    Users and items are numbered in order of first appearance, as scikit-surprise numbers them.
    """

    users: Integers  # (n_ratings,)
    items: Integers  # (n_ratings,)
    values: Floats  # (n_ratings,)
    user_ids: Ids
    item_ids: Ids

    @classmethod
    def from_frame(cls, ratings: pd.DataFrame) -> "CodedRatings":
        """Number the users and items of a ratings table.

        Raises:
            DataError: the table has no rows, a rating that is not a finite number, or no user or item.
        """
        users, user_ids = pd.factorize(ratings[USER])
        items, item_ids = pd.factorize(ratings[ITEM])
        nobody = np.flatnonzero((users < 0) | (items < 0))
        if len(nobody):
            raise DataError(
                f"{len(nobody)} of {len(users)} ratings name no user or no item, the first in row "
                f"{nobody[0]}: remove them (the validate stage does)"
            )
        values = ratings[RATING].to_numpy(dtype=np.float64)
        check_values(values)
        return cls(users.astype(np.int32), items.astype(np.int32), values, tuple(user_ids), tuple(item_ids))

    def take(self, rows: Indices) -> "CodedRatings":
        """Some of the rows, in the order given, with users and items numbered anew."""
        users, user_ids = _renumbered(self.users[rows], self.user_ids)
        items, item_ids = _renumbered(self.items[rows], self.item_ids)
        return CodedRatings(users, items, self.values[rows], user_ids, item_ids)


@dataclass(frozen=True)
class Grouped:
    """One side's lists of ratings: group g holds `others[indptr[g]:indptr[g + 1]]`, in source order."""

    indptr: Indices  # (n_groups + 1,)
    others: Integers  # (n_ratings,)
    values: Floats  # (n_ratings,)

    @property
    def counts(self) -> Indices:
        """Number of ratings of each group, shape (n_groups,)."""
        return np.diff(self.indptr)

    @property
    def means(self) -> Floats:
        """Mean rating of each group, shape (n_groups,)."""
        return np.add.reduceat(self.values, self.indptr[:-1]) / self.counts


@dataclass(frozen=True)
class RatingMatrix:
    """Ratings by user: the compressed sparse rows of the user-item matrix.

    User u rated `items[indptr[u]:indptr[u + 1]]`, in source order, with the `values` beside them.
    """

    indptr: Indices  # (n_users + 1,)
    items: Integers  # (n_ratings,)
    values: Floats  # (n_ratings,)
    user_ids: Ids
    item_ids: Ids
    by_item: Grouped  # the columns: each item's raters in source order
    scale: Scale = DEFAULT_SCALE

    @classmethod
    def from_coded(cls, coded: CodedRatings, scale: Scale = DEFAULT_SCALE) -> "RatingMatrix":
        """Group coded ratings by user and by item; both keep the source order."""
        rows = grouped(coded.users, coded.items, coded.values, len(coded.user_ids))
        columns = grouped(coded.items, coded.users, coded.values, len(coded.item_ids))
        return cls(rows.indptr, rows.others, rows.values, coded.user_ids, coded.item_ids, columns, scale)

    @classmethod
    def from_frame(cls, ratings: pd.DataFrame, scale: Scale = DEFAULT_SCALE) -> "RatingMatrix":
        """Number, check and group a ratings table.

        Raises:
            DataError: the table has no rows, a rating that is not a finite number, or no user or item.
        """
        return cls.from_coded(CodedRatings.from_frame(ratings), scale)

    @property
    def by_user(self) -> Grouped:
        """The rows, in the same form as the columns."""
        return Grouped(self.indptr, self.items, self.values)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    def item_counts(self) -> Indices:
        """Number of ratings of each item, shape (n_items,)."""
        return self.by_item.counts


def check_values(values: Floats) -> None:
    """Refuse no ratings at all, and ratings that no algorithm can learn from.

    Raises:
        DataError: there is none, or one is NaN or infinite.
    """
    if not len(values):
        raise DataError("there is no rating to train on: the ratings table is empty")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(values)} ratings are not finite numbers, the first in row {bad[0]} "
            f"({values[bad[0]]}): remove them (the validate stage does)"
        )


def grouped(keys: Integers, others: Integers, values: Floats, n_groups: int) -> Grouped:
    """Collect ratings by key, in the order of the rows."""
    order = stable_order(keys)
    indptr = np.zeros(n_groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=n_groups), out=indptr[1:])
    return Grouped(indptr, others[order], values[order])


def stable_order(keys: Integers) -> Indices:
    """Row numbers sorted by key, equal keys in row order, in linear time.

    NumPy sorts 16-bit keys by radix (10 ms a million) and wider ones by comparison (80 ms), so the
    halves of a key are sorted one after the other, the lower first.
    """
    keys = np.asarray(keys)
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    high = keys >> 16
    if high.any():
        order = order[np.argsort(high[order].astype(np.uint16), kind="stable")]
    return order


def _renumbered(numbers: Integers, ids: Ids) -> tuple[Integers, Ids]:
    """Numbers in order of first appearance, and the ids that they stand for."""
    new, old = pd.factorize(numbers)
    return new.astype(np.int32), tuple(ids[number] for number in old)
