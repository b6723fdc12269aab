"""Rating log: the items that each user rates, with times and ratings.

Users are simulated in batches of 64, each with its own random generator. A log of any length can therefore
be generated in bounded memory, and it does not depend on how it is divided into chunks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marquee.array_types import Float32Array, Float64Array, Int64Array
from marquee.errors import ConfigError
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER
from marquee.seeds import rng_for
from marquee.synthetic.choice import compute_interest
from marquee.synthetic.ground_truth import GroundTruth
from marquee.synthetic.item_catalog import generate_items
from marquee.synthetic.sampling import draw_ground_truth
from marquee.synthetic.spec import DAY, SyntheticSpec

USERS_PER_BATCH = 64  # their weights of all items fit in the processor's cache
MAX_VISITS = 16  # per user
SECONDS_PER_RATING = 60  # by which each rating extends its visit
SAMPLE_STRIDE = 8  # one of so many values is in the sample that bounds the smallest ones
SAMPLE_MARGIN = 16  # ranks, so that the bound is rarely too low


@dataclass(frozen=True)
class SyntheticDataset:
    """A synthetic data set and its ground truth."""

    ratings: pd.DataFrame  # user, item, rating, timestamp; in order of time
    items: pd.DataFrame  # item, title, genres; rated or not
    truth: GroundTruth


@dataclass(frozen=True)
class _RatingRows:
    """Ratings as arrays of one length; users and items as rows of the ground truth."""

    users: Int64Array
    items: Int64Array
    ratings: Float32Array
    times: Int64Array  # UTC seconds


def generate_dataset(spec: SyntheticSpec, seed: int) -> SyntheticDataset:
    """Generate a whole data set; it depends only on the specification and the seed."""
    truth = draw_ground_truth(spec, seed)
    batches = [_simulate_batch(truth, first) for first in range(0, spec.user_count, USERS_PER_BATCH)]
    return SyntheticDataset(_ratings_table(truth, _sort_by_time(batches)), generate_items(truth), truth)


def generate_rating_chunks(spec: SyntheticSpec, seed: int, rows_per_chunk: int) -> Iterator[pd.DataFrame]:
    """Yield the ratings of `generate_dataset` in chunks, each with different users and in order of time.

    Needs memory for one chunk and the ground truth, which is that of `draw_ground_truth(spec, seed)`.

    Args:
        spec: specification of the data set.
        seed: root seed.
        rows_per_chunk: minimum length; a chunk ends with the batch of users that reaches it.

    Raises:
        ConfigError: `rows_per_chunk` is less than 1.
    """
    if rows_per_chunk < 1:
        raise ConfigError(f"rows_per_chunk must be at least 1 (got {rows_per_chunk})")
    return _chunks(draw_ground_truth(spec, seed), rows_per_chunk)


def _chunks(truth: GroundTruth, rows_per_chunk: int) -> Iterator[pd.DataFrame]:
    batches: list[_RatingRows] = []
    for first in range(0, truth.spec.user_count, USERS_PER_BATCH):
        batches.append(_simulate_batch(truth, first))
        if sum(len(batch.times) for batch in batches) >= rows_per_chunk:
            yield _ratings_table(truth, _sort_by_time(batches))
            batches = []
    if batches:
        yield _ratings_table(truth, _sort_by_time(batches))


def _sort_by_time(batches: list[_RatingRows]) -> _RatingRows:
    """Join batches in order of time; ratings at the same time stay in the order of their users."""
    times = np.concatenate([batch.times for batch in batches])
    order = np.argsort(times, kind="stable")
    return _RatingRows(
        np.concatenate([batch.users for batch in batches])[order],
        np.concatenate([batch.items for batch in batches])[order],
        np.concatenate([batch.ratings for batch in batches])[order],
        times[order],
    )


def _ratings_table(truth: GroundTruth, rows: _RatingRows) -> pd.DataFrame:
    return pd.DataFrame(
        {
            USER: truth.user_ids.array.take(rows.users),
            ITEM: truth.item_ids.array.take(rows.items),
            RATING: rows.ratings,
            TIMESTAMP: rows.times,
        }
    )


def _simulate_batch(truth: GroundTruth, first: int) -> _RatingRows:
    """Simulate all ratings of the batch of users that starts at row `first`, user by user."""
    rng = rng_for(truth.seed, "synthetic", "cohort", first // USERS_PER_BATCH)
    batch = np.arange(first, min(first + USERS_PER_BATCH, truth.spec.user_count))
    counts = truth.ratings_per_user[batch]
    visits = _draw_visits(truth, batch, rng)
    arrivals = _draw_arrivals(truth, batch, visits[:, -1], rng)
    chosen = [_smallest_positions(arrivals[row], int(count)) for row, count in enumerate(counts)]
    rows, items = np.repeat(np.arange(len(batch)), counts), np.concatenate(chosen)
    times = _draw_times(visits, rows, truth.item_appeared_at[items], rng)
    users = batch[rows]
    return _RatingRows(users, items, truth.simulate_ratings_by_index(users, items, times, truth.seed), times)


def _draw_visits(truth: GroundTruth, batch: Int64Array, rng: np.random.Generator) -> Int64Array:
    """Draw the start of each visit in UTC seconds, ascending, shape (users, MAX_VISITS).

    Most visits of a user who seldom returns coincide with the first one: a single long session, as most users
    of MovieLens have.
    """
    joined_at = truth.user_joined_at[batch][:, None]
    loyalty, stay = rng.random((2, len(batch), 1))
    returns = rng.random((len(batch), MAX_VISITS)) < loyalty
    share = np.sort(np.where(returns, stay * rng.random(returns.shape), 0.0), axis=1)
    share[:, 0] = 0.0
    visits: Int64Array = joined_at + (share * (truth.spec.end - DAY - joined_at)).astype(np.int64)
    return visits


def _draw_arrivals(
    truth: GroundTruth, batch: Int64Array, last_visits: Int64Array, rng: np.random.Generator
) -> Float32Array:
    """Draw arrival times of all items in an exponential race, shape (users, n_items); the earliest are rated.

    An arrival is E / w with E exponential: the n earliest are a sample without replacement by weight w
    (Efraimidis and Spirakis 2006). The weight is `GroundTruth.choice_weights`. An item that appears after
    the user's last visit never arrives.
    """
    attraction = truth.user_interests[batch] @ truth.item_factors.T
    weights = compute_interest(attraction, truth.spec.selectivity)
    weights *= truth.item_popularity
    arrivals = rng.standard_exponential(weights.shape, dtype=np.float32)
    arrivals /= weights
    arrivals[truth.item_appeared_at > last_visits[:, None]] = np.inf
    return arrivals


def _smallest_positions(values: Float32Array, n: int) -> Int64Array:
    """Return the positions of the n smallest values, ascending.

    A sample of the values gives an approximate upper bound, so that only few values have to be partitioned.
    """
    sample = values[::SAMPLE_STRIDE]
    rank = min(len(sample) - 1, 2 * n // SAMPLE_STRIDE + SAMPLE_MARGIN)  # twice the expected rank
    candidates = np.flatnonzero(values <= np.partition(sample, rank)[rank])
    if len(candidates) < n:  # the bound was too low
        candidates = np.arange(len(values))
    bound = np.partition(values[candidates], n - 1)[n - 1]
    below, equal = candidates[values[candidates] < bound], candidates[values[candidates] == bound]
    return np.sort(np.concatenate([below, equal[: n - len(below)]]))


def _draw_times(
    visits: Int64Array, rows: Int64Array, appeared_at: Int64Array, rng: np.random.Generator
) -> Int64Array:
    """Draw the time of each rating: in the short burst of a visit that starts after its item appeared.

    Args:
        visits: start of each user's visits, shape (users, MAX_VISITS).
        rows: row of `visits` for each rating.
        appeared_at: time at which each rating's item appeared.
        rng: source of the draws.
    """
    first = (visits[rows] < appeared_at[:, None]).sum(axis=1)
    visit = first + (rng.random(len(rows)) * (MAX_VISITS - first)).astype(np.int64)
    cell = rows * MAX_VISITS + visit
    length = np.minimum(SECONDS_PER_RATING * np.bincount(cell, minlength=visits.size)[cell], DAY)
    offset: Float64Array = rng.random(len(rows)) * length
    times: Int64Array = visits.ravel()[cell] + offset.astype(np.int64)
    return times
