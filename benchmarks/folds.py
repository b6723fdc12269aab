"""The ratings that are measured on, as files that every environment can read: `.npy` only.

users.npy items.npy ratings.npy      the whole table, in source order
train-0.npy test-0.npy ...           row numbers of each fold, as scikit-surprise's KFold orders them
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from marquee.errors import DataError
from marquee.interactions.matrix import ITEM, RATING, USER
from marquee.interactions.splitting import folds_of, shuffled
from marquee.synthetic import SyntheticSpec, generate

FOLDS = 5
SEED = 0
SIDE = 12  # users and items of the toy
SCALE = (1.0, 5.0)
VARIABLE = "MARQUEE_DATA_DIR"
FILE = Path("ml-1m") / "ratings.csv.gz"
LIKE_ML_1M = SyntheticSpec(n_ratings=1_000_000, n_users=6040, n_items=3706)


@dataclass(frozen=True)
class Source:
    """A table of ratings and what it is called."""

    name: str
    ratings: pd.DataFrame  # user, item, rating


def source(path: Path | None, sample: int | None = None) -> Source:
    """The ratings of a CSV file; else those of MovieLens 1M in MARQUEE_DATA_DIR; else synthetic ones.

    Args:
        path: a CSV file with the columns user, item, rating, or none.
        sample: so many of its rows, drawn at random; None: all.

    Raises:
        DataError: the file is not there, or has other columns.
    """
    found = path or Path(os.environ.get(VARIABLE, "")) / FILE
    if path is not None and not path.is_file():
        raise DataError(f"there is no {path}: give a CSV file with the columns user, item, rating")
    if found.is_file():
        name, ratings = _name(found), pd.read_csv(found)
    else:
        name = f"synthetic ratings of the size of MovieLens 1M ({VARIABLE} names no folder with {FILE})"
        ratings = generate(LIKE_ML_1M, SEED).ratings
        for column in (USER, ITEM):  # u17, m4: numbers in MovieLens
            ratings[column] = ratings[column].str[1:].astype(np.int64)
    missing = {USER, ITEM, RATING} - set(ratings.columns)
    if missing:
        raise DataError(f"{found} has no column {', '.join(sorted(missing))}")
    if sample is not None and sample < len(ratings):
        rows = np.sort(shuffled(len(ratings), SEED)[:sample])
        name, ratings = f"{sample:,} ratings of {name}", ratings.iloc[rows].reset_index(drop=True)
    return Source(name, ratings)


def write_folds(ratings: pd.DataFrame, folder: Path, most_tests: int | None = None) -> None:
    """Write the table and its five folds, of each test part `most_tests` rows at most.

    Those are the first ones, which are a random choice: the folds are shuffled.
    """
    for column, name in ((USER, "users"), (ITEM, "items"), (RATING, "ratings")):
        np.save(folder / f"{name}.npy", ratings[column].to_numpy())
    for number, fold in enumerate(folds_of(shuffled(len(ratings), SEED), FOLDS)):
        np.save(folder / f"train-{number}.npy", fold.train)
        np.save(folder / f"test-{number}.npy", fold.test[:most_tests])


def read_fold(folder: str, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training and the test part of a fold."""
    ratings = read_ratings(folder)
    return tuple(
        ratings.iloc[np.load(Path(folder) / f"{part}-{number}.npy")].reset_index(drop=True)
        for part in ("train", "test")
    )


def read_ratings(folder: str) -> pd.DataFrame:
    """The whole table."""
    files = {USER: "users", ITEM: "items", RATING: "ratings"}
    return pd.DataFrame({column: np.load(Path(folder) / f"{name}.npy") for column, name in files.items()})


def toy() -> pd.DataFrame:
    """A table so small that work on it takes no time."""
    users, items = np.divmod(np.arange(SIDE * SIDE), SIDE)
    kept = (users + 2 * items) % 7 != 0
    ratings = 1 + (users * 3 + items * items) % 5
    return pd.DataFrame({USER: users[kept], ITEM: items[kept], RATING: ratings[kept]})


def _name(path: Path) -> str:
    return "MovieLens 1M" if path.parts[-2:] == FILE.parts else path.name
