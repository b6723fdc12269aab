"""Source of the ratings in benchmarks: MovieLens in MARQUEE_DATA_DIR, a CSV file, or synthetic ratings."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from marquee.errors import DataError, SourceError
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.interactions.splitting import shuffle_rows
from marquee.synthetic import SyntheticSpec, generate_dataset

SEED = 0
RATING_SCALE = (1.0, 5.0)
USER_ITEM_RATING = (USER, ITEM, RATING)
DATA_DIR_VARIABLE = "MARQUEE_DATA_DIR"
MOVIELENS_FILES = {"ml-1m": Path("ml-1m/ratings.csv.gz"), "ml-100k": Path("ml-100k/u.data")}
SIZE_OF_ML_1M = SyntheticSpec(n_ratings=1_000_000, n_users=6040, n_items=3706)


@dataclass(frozen=True)
class NamedRatings:
    """Ratings table, and its name in the output."""

    name: str
    ratings: pd.DataFrame  # columns user, item, rating


def load_ratings(path: Path | None, n_rows: int | None = None) -> NamedRatings:
    """Load a CSV file or, without one, MovieLens 1M; if that is not available, generate ratings of its size.

    Args:
        path: CSV file with the columns user, item and rating.
        n_rows: number of rows to sample at random, in their original order; None for all rows.

    Raises:
        DataError: the file does not exist or lacks a column.
    """
    if path is not None:
        named = NamedRatings(path.name, _read_csv(path))
    else:
        movielens = find_movielens("ml-1m")
        named = _synthetic_ratings() if movielens is None else NamedRatings("MovieLens 1M", movielens)
    if n_rows is None or n_rows >= len(named.ratings):
        return named
    return NamedRatings(f"{n_rows:,} ratings of {named.name}", _sample_rows(named.ratings, n_rows))


def load_movielens(name: str) -> pd.DataFrame:
    """Load the ratings of a MovieLens data set.

    Raises:
        SourceError: the data set is not in MARQUEE_DATA_DIR.
    """
    ratings = find_movielens(name)
    if ratings is None:
        raise SourceError(
            f"{name} not found; set {DATA_DIR_VARIABLE} to the folder that contains {MOVIELENS_FILES[name]}"
        )
    return ratings


def find_movielens(name: str) -> pd.DataFrame | None:
    """Load the ratings of a MovieLens data set, or return None if it is not in MARQUEE_DATA_DIR."""
    path = Path(os.environ.get(DATA_DIR_VARIABLE, "")) / MOVIELENS_FILES[name]
    if not path.is_file():
        return None
    if path.suffix == ".data":  # tab-separated, no header, timestamp in the fourth column
        return pd.read_csv(path, sep="\t", names=list(USER_ITEM_RATING), usecols=[0, 1, 2])
    return pd.read_csv(path)[list(USER_ITEM_RATING)]


def sample_ratings(ratings: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return a random share of the ratings in their original order."""
    return _sample_rows(ratings, round(share * len(ratings)))


def _sample_rows(ratings: pd.DataFrame, n_rows: int) -> pd.DataFrame:
    rows = np.sort(shuffle_rows(len(ratings), SEED)[:n_rows])
    return ratings.iloc[rows].reset_index(drop=True)


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} not found; --data must be a CSV file with the columns user, item, rating")
    ratings = pd.read_csv(path)
    missing = set(USER_ITEM_RATING) - set(ratings.columns)
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    return ratings


def _synthetic_ratings() -> NamedRatings:
    file = MOVIELENS_FILES["ml-1m"]
    name = f"synthetic ratings of the size of MovieLens 1M ({DATA_DIR_VARIABLE} contains no {file})"
    ratings = generate_dataset(SIZE_OF_ML_1M, SEED).ratings
    for column in (USER, ITEM):  # from u17 and m4 to integers, as in MovieLens
        ratings[column] = ratings[column].str[1:].astype(np.int64)
    return NamedRatings(name, ratings)
