"""Ratings and their folds as DataFrames, written to and read from the files of `benchmarks.fold_files`."""

from pathlib import Path

import pandas as pd

from benchmarks.fold_files import (
    RatingColumns,
    generate_toy_columns,
    read_columns,
    read_fold_columns,
    write_columns,
    write_fold_rows,
)
from benchmarks.ratings import SEED, USER_ITEM_RATING
from marquee.interactions.splitting import shuffle_rows, split_for_cross_validation

N_FOLDS = 5


def write_ratings(ratings: pd.DataFrame, folder: Path) -> None:
    """Write all ratings."""
    write_columns(RatingColumns(*(ratings[column].to_numpy() for column in USER_ITEM_RATING)), folder)


def write_folds(ratings: pd.DataFrame, folder: Path, max_test_rows: int | None = None) -> None:
    """Write all ratings and the row numbers of their folds.

    With `max_test_rows`, each test part is limited to its first rows; these are a random sample, since the
    folds are shuffled.
    """
    write_ratings(ratings, folder)
    for number, fold in enumerate(split_for_cross_validation(shuffle_rows(len(ratings), SEED), N_FOLDS)):
        write_fold_rows("train", number, fold.train, folder)
        write_fold_rows("test", number, fold.test[:max_test_rows], folder)


def read_ratings(folder: Path) -> pd.DataFrame:
    """Read all ratings."""
    return _to_frame(read_columns(folder))


def read_fold(folder: Path, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the training part and the test part of a fold."""
    train = read_fold_columns("train", number, folder)
    test = read_fold_columns("test", number, folder)
    return _to_frame(train), _to_frame(test)


def generate_toy_ratings() -> pd.DataFrame:
    """Return about 120 ratings, on which all code is loaded and compiled before a measurement."""
    return _to_frame(generate_toy_columns())


def _to_frame(columns: RatingColumns) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(USER_ITEM_RATING, columns, strict=True)))
