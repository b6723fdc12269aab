"""The ratings table and `RatingMatrix`, its compressed form: the names and orders everybody agrees on.

    ratings   user (str) | item (str) | rating (float32) | timestamp (int64, UTC seconds; all rows or none)
    items     item (str) | title (str) | genres (str, joined by "|")

Source order is kept everywhere: it is the order in which stochastic gradient descent visits ratings.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from marquee.arrays import Floats, Indices, Integers
from marquee.errors import DataError

USER, ITEM, RATING, TIMESTAMP = "user", "item", "rating", "timestamp"
TITLE, GENRES = "title", "genres"
RATING_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"


@dataclass(frozen=True)
class CodedRatings:
    """A ratings table with ids replaced by numbers, row by row in source order.

    Users and items are numbered in order of first appearance, as scikit-surprise numbers them.
    """

    users: Integers  # (n_ratings,)
    items: Integers  # (n_ratings,)
    values: Floats  # (n_ratings,)
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]

    @classmethod
    def from_frame(cls, ratings: pd.DataFrame) -> "CodedRatings":
        """Number the users and items of a ratings table.

        Raises:
            DataError: the table has no rows.
        """
        if ratings.empty:
            raise DataError("there is no rating to train on: the ratings table is empty")
        users, user_ids = pd.factorize(ratings[USER])
        items, item_ids = pd.factorize(ratings[ITEM])
        values = ratings[RATING].to_numpy(dtype=np.float64)
        return cls(users.astype(np.int32), items.astype(np.int32), values, tuple(user_ids), tuple(item_ids))


@dataclass(frozen=True)
class RatingMatrix:
    """Ratings by user: the compressed sparse rows of the user-item matrix.

    User u rated `items[indptr[u]:indptr[u + 1]]`, in source order, with the `values` beside them.
    """

    indptr: Indices  # (n_users + 1,)
    items: Integers  # (n_ratings,)
    values: Floats  # (n_ratings,)
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]

    @classmethod
    def from_coded(cls, coded: CodedRatings) -> "RatingMatrix":
        """Group coded ratings by user; a stable sort keeps each user's source order."""
        order = np.argsort(coded.users, kind="stable")
        counts = np.bincount(coded.users, minlength=len(coded.user_ids))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(indptr, coded.items[order], coded.values[order], coded.user_ids, coded.item_ids)

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
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)
