"""Ground truth of a synthetic data set: planted users and items, which determine every possible rating."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from marquee.array_types import BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array
from marquee.errors import DataError
from marquee.synthetic.genres import GenreCodes
from marquee.synthetic.spec import SyntheticSpec

IdArray: TypeAlias = npt.ArrayLike  # of strings, any shape; users and items are broadcast together

# Rating of an average item by an average user. The mean of the log is higher: users choose items they like.
MEAN_RATING = 3.09


@dataclass(frozen=True)
class GroundTruth:
    """Planted users and items.

    The expected rating of item i by user u at time t is

        e(u, i, t) = mean + b_u + b_i + taste_std * <p_u + tau(t) * d_u, q_i>

    where tau(t) increases from -1/2 at the start of the log to 1/2 at its end and is constant before and
    after. The rating is e plus noise, rounded to the scale.

    Factors are on a grid (see `sampling`), so their dot products are exact.
    """

    spec: SyntheticSpec
    seed: int
    user_factors: Float32Array  # p, (n_users, n_factors)
    user_drift: Float32Array  # d, (n_users, n_factors)
    user_bias: Float64Array  # b_u, (n_users,)
    user_joined_at: Int64Array  # (n_users,), UTC seconds of the first session
    ratings_per_user: Int64Array  # (n_users,), number of ratings in the log
    user_rounds_to_whole: BoolArray  # (n_users,), True: rates in whole stars even if the scale has half stars
    item_factors: Float32Array  # q, (n_items, n_factors): what users like about an item
    item_attraction: Float32Array  # r, (n_items, n_factors): what attracts users to an item
    item_bias: Float64Array  # b_i, (n_items,)
    item_popularity: Float32Array  # (n_items,), relative weight
    item_appeared_at: Int64Array  # (n_items,), UTC seconds; not rated earlier
    item_genres: GenreCodes  # (n_items, 3)

    @cached_property
    def user_ids(self) -> pd.Index:
        """Ids of the users in the order of the arrays: u1, u2, ..."""
        return pd.Index([f"u{number}" for number in range(1, len(self.user_bias) + 1)], dtype="str")

    @cached_property
    def item_ids(self) -> pd.Index:
        """Ids of the items in the order of the arrays: m1, m2, ..."""
        return pd.Index([f"m{number}" for number in range(1, len(self.item_bias) + 1)], dtype="str")

    def expected_ratings(
        self, users: IdArray, items: IdArray, at: npt.ArrayLike | None = None
    ) -> Float64Array:
        """Return the ratings without noise, before rounding and clipping.

        `expected_ratings(users[:, None], items[None, :])` is the whole matrix.

        Args:
            users: ids; broadcast against items and times.
            items: ids.
            at: UTC seconds; None: the end of the log.

        Raises:
            DataError: an id is not in this data set.
        """
        user_rows, item_rows = self._rows(users, items)
        return self.expected_ratings_by_index(user_rows, item_rows, self._times(at))

    def simulate_ratings(
        self, users: IdArray, items: IdArray, at: npt.ArrayLike | None = None, seed: int | None = None
    ) -> Float32Array:
        """Return the ratings that users would give: with noise, on the rating scale.

        The noise is a function of (seed, user, item).

        Args:
            users: ids; broadcast against items and times.
            items: ids.
            at: UTC seconds; None: the end of the log.
            seed: seed of the noise; None: the seed of the log, which reproduces a rating of the log if `at`
                is the time of that rating.

        Raises:
            DataError: an id is not in this data set.
        """
        user_rows, item_rows = self._rows(users, items)
        return self.simulate_ratings_by_index(
            user_rows, item_rows, self._times(at), self.seed if seed is None else seed
        )

    def expected_ratings_by_index(
        self, user_rows: Int64Array, item_rows: Int64Array, at: Int64Array
    ) -> Float64Array:
        """Return `expected_ratings` for users and items given by their array index instead of their id."""
        spec = self.spec
        tau = np.clip((at - spec.start) / (spec.end - spec.start), 0.0, 1.0) - 0.5
        q = self.item_factors[item_rows]
        taste = _dot(self.user_factors[user_rows], q) + tau * _dot(self.user_drift[user_rows], q)
        ratings: Float64Array = (
            MEAN_RATING + self.user_bias[user_rows] + self.item_bias[item_rows] + spec.taste_std * taste
        )
        return spec.effect_unit * ratings

    def simulate_ratings_by_index(
        self, user_rows: Int64Array, item_rows: Int64Array, at: Int64Array, seed: int
    ) -> Float32Array:
        """Return `simulate_ratings` for users and items given by their array index instead of their id."""
        spec = self.spec
        z = rating_noise(seed, user_rows, item_rows)
        # z - c (z^2 - 1) has mean 0, variance 1 + 2 c^2, and a longer lower tail.
        skewed = (z - spec.noise_skew * (z * z - 1)) / np.sqrt(1 + 2 * spec.noise_skew**2)
        expected = self.expected_ratings_by_index(user_rows, item_rows, at)
        unrounded = expected + spec.effect_unit * spec.noise_std * skewed
        step = np.where(self.user_rounds_to_whole[user_rows], 1.0, spec.step)
        rounded = np.floor(unrounded / step + 0.5) * step
        ratings: Float32Array = np.clip(rounded, spec.lowest_rating, spec.high).astype(np.float32)
        return ratings

    def _times(self, at: npt.ArrayLike | None) -> Int64Array:
        return np.asarray(self.spec.end if at is None else at, dtype=np.int64)

    def _rows(self, users: IdArray, items: IdArray) -> tuple[Int64Array, Int64Array]:
        return _row_numbers(self.user_ids, users, "user"), _row_numbers(self.item_ids, items, "item")


def rating_noise(seed: int, user_rows: Int64Array, item_rows: Int64Array) -> Float64Array:
    """Return standard normal noise for pairs of user and item, which depends on seed, user and item only.

    A counter-based generator: SplitMix64 (Steele, Lea, Flood 2014) gives 64 bits per pair, and the transform
    of Box and Muller (1958) makes them normal.
    """
    key = _mix(_mix(np.asarray(seed).astype(np.uint64)) ^ np.asarray(user_rows).astype(np.uint64))
    word = _mix(key ^ np.asarray(item_rows).astype(np.uint64))
    uniform = ((word >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
    angle = (word & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
    noise: Float64Array = np.sqrt(-2.0 * np.log(uniform)) * np.cos(2.0 * np.pi * angle)
    return noise


def _mix(word: UInt64Array) -> UInt64Array:
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        word = word + np.uint64(0x9E3779B97F4A7C15)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return word ^ (word >> np.uint64(31))


def _row_numbers(index: pd.Index, ids: IdArray, kind: str) -> Int64Array:
    array = np.asarray(ids, dtype=object)
    rows = index.get_indexer(pd.Index(array.ravel())).astype(np.int64)
    if (rows < 0).any():
        unknown = array.ravel()[int(np.argmax(rows < 0))]
        raise DataError(
            f"{kind} {unknown!r} is not in this data set, whose {kind}s are {index[0]} to {index[-1]}"
        )
    return rows.reshape(array.shape)


def _dot(left: Float32Array, right: Float32Array) -> Float64Array:
    product: Float64Array = np.einsum("...f,...f->...", left, right).astype(np.float64)
    return product
