"""Ratings and their folds as tables, on top of the files of `benchmarks.fold_files`."""

from pathlib import Path

import pandas as pd

from benchmarks.fold_files import (
    RatingColumns,
    read_columns,
    read_fold_columns,
    toy_columns,
    write_columns,
    write_fold_rows,
)
from benchmarks.ratings import RATING_TABLE_COLUMNS, SEED
from marquee.interactions.splitting import shuffle_rows, split_into_folds

N_FOLDS = 5


def write_ratings(ratings: pd.DataFrame, folder: Path) -> None:
    """Write the whole table."""
    users, items, values = (ratings[column].to_numpy() for column in RATING_TABLE_COLUMNS)
    write_columns((users, items, values), folder)


def write_folds(ratings: pd.DataFrame, folder: Path, max_test_rows: int | None = None) -> None:
    """Write the table and its folds.

    Only the first `max_test_rows` rows of each test part are written; the folds are shuffled, so these are a
    random sample.
    """
    write_ratings(ratings, folder)
    for number, fold in enumerate(split_into_folds(shuffle_rows(len(ratings), SEED), N_FOLDS)):
        write_fold_rows("train", number, fold.train, folder)
        write_fold_rows("test", number, fold.test[:max_test_rows], folder)


def read_ratings(folder: str) -> pd.DataFrame:
    """Read the whole table."""
    return _to_frame(read_columns(Path(folder)))


def read_fold(folder: str, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the training and the test part of a fold."""
    train = read_fold_columns("train", number, Path(folder))
    test = read_fold_columns("test", number, Path(folder))
    return _to_frame(train), _to_frame(test)


def toy_ratings() -> pd.DataFrame:
    """Return about 120 ratings; used to load and compile everything before a measurement."""
    return _to_frame(toy_columns())


def _to_frame(columns: RatingColumns) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(RATING_TABLE_COLUMNS, columns, strict=True)))
