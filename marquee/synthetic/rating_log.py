"""The log of ratings: which items a user rates, in which session, and the tables they make.

Users are taken in cohorts of 64, each with a generator of its own, so that a log of any length is
made in bounded memory, and is the same however it is cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marquee.arrays import Floats, Indices, Scores
from marquee.errors import ConfigError
from marquee.interactions.matrix import ITEM, RATING, TIMESTAMP, USER
from marquee.seeds import rng_for
from marquee.synthetic.ground_truth import Factors, GroundTruth
from marquee.synthetic.sampling import plant
from marquee.synthetic.spec import DAY, SyntheticSpec
from marquee.synthetic.titles import item_table

COHORT = 64  # users; their matrix of all items stays in the processor's cache
VISITS = 16  # at most, a user
PACE = 60  # seconds that a rating adds to a visit's length


@dataclass(frozen=True)
class SyntheticRatings:
    """A dataset and what is behind it."""

    ratings: pd.DataFrame  # user, item, rating, timestamp; in order of time
    items: pd.DataFrame  # item, title, genres; every item, rated or not
    truth: GroundTruth


@dataclass(frozen=True)
class _Rows:
    """Ratings as arrays of one length; users and items by their row in the truth."""

    user: Indices
    item: Indices
    rating: Scores
    at: Indices


def generate(spec: SyntheticSpec, seed: int) -> SyntheticRatings:
    """Make a whole dataset: the pieces of `generate_in_pieces`, in one order of time."""
    truth = plant(spec, seed)
    rows = _joined([_cohort(truth, first) for first in range(0, spec.users, COHORT)])
    return SyntheticRatings(_table(truth, rows), item_table(truth), truth)


def generate_in_pieces(spec: SyntheticSpec, seed: int, rows_per_piece: int) -> Iterator[pd.DataFrame]:
    """Make the ratings of `generate` piece by piece, each with other users and in order of time.

    A piece ends with the cohort of users that brings it to `rows_per_piece`. Memory is that of the
    truth, one piece and one cohort. `plant(spec, seed)` gives the truth behind them.

    Raises:
        ConfigError: `rows_per_piece` is less than 1.
    """
    if rows_per_piece < 1:
        raise ConfigError(f"rows_per_piece is {rows_per_piece}: it must be at least 1")
    return _pieces(plant(spec, seed), rows_per_piece)


def _pieces(truth: GroundTruth, rows_per_piece: int) -> Iterator[pd.DataFrame]:
    waiting: list[_Rows] = []
    for first in range(0, truth.spec.users, COHORT):
        waiting.append(_cohort(truth, first))
        if sum(len(rows.at) for rows in waiting) >= rows_per_piece:
            yield _table(truth, _joined(waiting))
            waiting = []
    if waiting:
        yield _table(truth, _joined(waiting))


def _joined(parts: list[_Rows]) -> _Rows:
    """Rows of all parts in order of time; a stable sort, so cutting otherwise changes nothing."""
    at = np.concatenate([rows.at for rows in parts])
    order = np.argsort(at, kind="stable")
    return _Rows(
        np.concatenate([rows.user for rows in parts])[order],
        np.concatenate([rows.item for rows in parts])[order],
        np.concatenate([rows.rating for rows in parts])[order],
        at[order],
    )


def _table(truth: GroundTruth, rows: _Rows) -> pd.DataFrame:
    columns = {
        USER: truth.user_ids.array.take(rows.user),
        ITEM: truth.item_ids.array.take(rows.item),
        RATING: rows.rating,
        TIMESTAMP: rows.at,
    }
    return pd.DataFrame(columns)


def _cohort(truth: GroundTruth, first: int) -> _Rows:
    """All ratings of the users from `first` on, user by user."""
    rng = rng_for(truth.seed, "synthetic", "cohort", first // COHORT)
    members = np.arange(first, min(first + COHORT, truth.spec.users))
    visits = _visits(truth, members, rng)
    keys = _race(truth, members, visits[:, -1], rng)
    picks = [_smallest(keys[row], int(n)) for row, n in enumerate(truth.user_counts[members])]
    row, item = np.repeat(np.arange(len(members)), truth.user_counts[members]), np.concatenate(picks)
    at = _moments(visits, row, truth.item_appeared[item], rng)
    user = members[row]
    return _Rows(user, item, truth.rating_of(user, item, at, truth.seed), at)


def _visits(truth: GroundTruth, members: Indices, rng: np.random.Generator) -> Indices:
    """Begin of each visit, ascending, shape (users, VISITS), UTC seconds.

    Who seldom returns has many of them at the first moment: one long first session, as most
    users of MovieLens have.
    """
    joined = truth.user_joined[members][:, None]
    loyalty, stay = rng.random((2, len(members), 1))
    returns = rng.random((len(members), VISITS)) < loyalty
    share = np.sort(np.where(returns, stay * rng.random(returns.shape), 0.0), axis=1)
    share[:, 0] = 0.0
    visits: Indices = joined + (share * (truth.spec.end - DAY - joined)).astype(np.int64)
    return visits


def _race(truth: GroundTruth, members: Indices, last: Indices, rng: np.random.Generator) -> Factors:
    """Exponential race of all items for each user, shape (users, n_items): the least keys are rated.

    A key is E / w with E exponential: the n least are a sample without replacement by weight w
    (Efraimidis and Spirakis 2006). The weight is popularity * (1 + selectivity * <p, r> / 4)^4,
    an exponential in all but the far ends, and exact on every machine. What appears after the
    user's last visit never arrives.
    """
    pull = truth.user_factors[members] @ truth.item_lure.T
    pull *= np.float32(truth.spec.selectivity / 4)
    pull += np.float32(1)
    np.maximum(pull, np.float32(0.1), out=pull)
    pull *= pull
    pull *= pull
    pull *= truth.item_weight
    keys = rng.standard_exponential(pull.shape, dtype=np.float32)
    keys /= pull
    keys[truth.item_appeared > last[:, None]] = np.inf
    return keys


def _smallest(keys: Factors, n: int) -> Indices:
    """Positions of the n least keys.

    A sample of every eighth key guesses a bound, so that few keys need to be partitioned.
    """
    sample = keys[::8]
    guess = min(len(sample) - 1, n // 4 + 16)
    near = np.flatnonzero(keys <= np.partition(sample, guess)[guess])
    if len(near) < n:
        near = np.arange(len(keys))
    return np.sort(near[np.argpartition(keys[near], n - 1)[:n]])


def _moments(visits: Indices, row: Indices, appeared: Indices, rng: np.random.Generator) -> Indices:
    """When each rating is given: at a visit after its item appeared, visits being short bursts."""
    first = (visits[row] < appeared[:, None]).sum(axis=1)
    visit = first + (rng.random(len(row)) * (VISITS - first)).astype(np.int64)
    cell = row * VISITS + visit
    length = np.minimum(PACE * np.bincount(cell, minlength=visits.size)[cell], DAY)
    offset: Floats = rng.random(len(row)) * length
    moments: Indices = visits.ravel()[cell] + offset.astype(np.int64)
    return moments
