"""Ratings and folds as `.npy` files.

users.npy items.npy ratings.npy      all ratings, in source order
train-0.npy test-0.npy ...           row numbers of each fold, in the order of scikit-surprise's KFold

The environments of other libraries import this module too, so it needs NumPy only.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
FoldPart = Literal["train", "test"]

TOY_USERS = TOY_ITEMS = 12


class RatingColumns(NamedTuple):
    """Ratings as columns of one length."""

    users: Column
    items: Column
    ratings: Column


def write_columns(columns: RatingColumns, folder: Path) -> None:
    """Write the columns of all ratings."""
    for name, column in columns._asdict().items():
        np.save(folder / f"{name}.npy", column)


def read_columns(folder: Path) -> RatingColumns:
    """Read the columns of all ratings."""
    return RatingColumns(*(np.load(folder / f"{name}.npy") for name in RatingColumns._fields))


def write_fold_rows(part: FoldPart, fold: int, rows: Column, folder: Path) -> None:
    """Write the row numbers of one part of a fold."""
    np.save(folder / f"{part}-{fold}.npy", rows)


def read_fold_columns(part: FoldPart, fold: int, folder: Path) -> RatingColumns:
    """Read the columns of one part of a fold."""
    rows = np.load(folder / f"{part}-{fold}.npy")
    return RatingColumns(*(column[rows] for column in read_columns(folder)))


def generate_toy_columns() -> RatingColumns:
    """Return about 120 ratings, on which all code is loaded and compiled before a measurement."""
    users, items = np.divmod(np.arange(TOY_USERS * TOY_ITEMS), TOY_ITEMS)
    is_rated = (users + 2 * items) % 7 != 0
    ratings = 1 + (users * 3 + items * items) % 5
    return RatingColumns(users[is_rated], items[is_rated], ratings[is_rated])
