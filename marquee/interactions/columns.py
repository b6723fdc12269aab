"""Columns of the interactions table and the items table.

    interactions   user (str) | item (str) | rating or weight (float32) | timestamp (int64, UTC seconds)
    items          item (str) | title (str) | genres (str, joined by "|")

Interactions have either a rating (explicit feedback) or a weight (implicit feedback). All rows have a
timestamp, or none has. Rows stay in source order, which determines inner ids and the order in which
stochastic gradient descent visits ratings.
"""

from collections.abc import Hashable, Iterable
from typing import Literal, TypeAlias

from marquee.errors import DataError

FeedbackType: TypeAlias = Literal["explicit", "implicit"]  # the values are ratings, or weights

USER, ITEM, RATING, WEIGHT, TIMESTAMP = "user", "item", "rating", "weight", "timestamp"
TITLE, GENRES = "title", "genres"
INTERACTION_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"


def value_column(columns: Iterable[Hashable]) -> str:
    """Return the column of an interactions table that has its values: "rating" or "weight".

    Args:
        columns: the table, or the names of its columns.

    Raises:
        DataError: the table has neither column, or both.

    >>> value_column(["user", "item", "weight"])
    'weight'
    """
    names = list(columns)
    present = [name for name in (RATING, WEIGHT) if name in names]
    if len(present) != 1:
        listed = ", ".join(map(str, names))
        raise DataError(f"an interactions table must have a rating or a weight column (got {listed})")
    return present[0]
