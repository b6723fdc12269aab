"""Ground truth of a synthetic data set: planted users and items, which determine every possible rating."""

from dataclasses import dataclass
from functools import cached_property
from math import erf
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from marquee.array_types import BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array
from marquee.errors import DataError
from marquee.synthetic.choice import compute_interest
from marquee.synthetic.genres import GenreCodes
from marquee.synthetic.spec import SyntheticSpec

IdArray: TypeAlias = npt.ArrayLike  # of strings, any shape; users and items are broadcast together


@dataclass(frozen=True)
class GroundTruth:
    """Planted users and items.

    The expected rating of item i by user u at time t is

        e(u, i, t) = mean + b_u + b_i + taste_std * <p_u + tau(t) * d_u, q_i>

    where tau(t) increases from -1/2 at the start of the log to 1/2 at its end and is constant before and
    after. The rating is e plus noise, rounded to the scale.

    Before users rate items, they choose them, each item with the weight

        w(u, i) = popularity_i * (1 + selectivity * <t_u, q_i> / 8)^8

    where the interests t_u are correlated with the tastes p_u: users choose what they expect to like.

    Factors are on a grid (see `sampling`), so their dot products are exact.
    """

    spec: SyntheticSpec
    seed: int
    user_factors: Float32Array  # p, (n_users, n_factors): what a user likes
    user_interests: Float32Array  # t, (n_users, n_factors): what attracts a user
    user_drift: Float32Array  # d, (n_users, n_factors)
    user_bias: Float64Array  # b_u, (n_users,)
    user_joined_at: Int64Array  # (n_users,), UTC seconds of the first session
    ratings_per_user: Int64Array  # (n_users,), number of ratings in the log
    user_rounds_to_whole: BoolArray  # (n_users,), True: rates in whole stars even if the scale has half stars
    item_factors: Float32Array  # q, (n_items, n_factors)
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

    def choice_weights(self, users: IdArray, items: IdArray) -> Float64Array:
        """Return the weights with which users choose items on their own: popularity times interest.

        The next item that a user chooses out of several is each of them with a probability proportional to
        its weight, independent of time. `marquee.synthetic.choice_probabilities` turns weights into the
        probability that an item is among the next choices.

        Args:
            users: ids; broadcast against items.
            items: ids.

        Raises:
            DataError: an id is not in this data set.
        """
        user_rows, item_rows = self._rows(users, items)
        return self.choice_weights_by_index(user_rows, item_rows)

    def like_probabilities(
        self,
        users: IdArray,
        items: IdArray,
        threshold: float | None = None,
        at: npt.ArrayLike | None = None,
    ) -> Float64Array:
        """Return the probability that users who choose these items like them: that they rate them highly.

        Args:
            users: ids; broadcast against items and times.
            items: ids.
            threshold: lowest rating of an item that a user likes; None: three quarters of the way up the
                scale, which is 4 of 5 stars.
            at: UTC seconds; None: the end of the log.

        Raises:
            DataError: an id is not in this data set.
        """
        user_rows, item_rows = self._rows(users, items)
        threshold = self.spec.like_threshold if threshold is None else threshold
        return self.like_probabilities_by_index(user_rows, item_rows, self._times(at), threshold)

    def choice_weights_by_index(self, user_rows: Int64Array, item_rows: Int64Array) -> Float64Array:
        """Return `choice_weights` for users and items given by their array index instead of their id."""
        popularity = self.item_popularity[item_rows]
        return np.asarray(popularity * self.interests_by_index(user_rows, item_rows), dtype=np.float64)

    def interests_by_index(self, user_rows: Int64Array, item_rows: Int64Array) -> Float64Array:
        """Return the choice weights without popularity: 1 for an average user, or an average item.

        With these weights, users choose as if they knew all items equally well.
        """
        attraction = _dot(self.user_interests[user_rows], self.item_factors[item_rows])
        return compute_interest(attraction.astype(np.float32), self.spec.selectivity).astype(np.float64)

    def like_probabilities_by_index(
        self, user_rows: Int64Array, item_rows: Int64Array, at: Int64Array, threshold: float
    ) -> Float64Array:
        """Return `like_probabilities` for users and items given by their array index instead of their id."""
        spec = self.spec
        if threshold <= spec.lowest_rating or threshold > spec.high:
            shape = np.broadcast_shapes(np.shape(user_rows), np.shape(item_rows), np.shape(at))
            return np.full(shape, float(threshold <= spec.lowest_rating))
        step = self._steps(user_rows)
        lowest_unrounded = (np.ceil(threshold / step) - 0.5) * step
        missing = lowest_unrounded - self.expected_ratings_by_index(user_rows, item_rows, at)
        return _noise_tail(missing / spec.effect_unit, spec.noise_std, spec.noise_skew)

    def expected_ratings_by_index(
        self, user_rows: Int64Array, item_rows: Int64Array, at: Int64Array
    ) -> Float64Array:
        """Return `expected_ratings` for users and items given by their array index instead of their id."""
        spec = self.spec
        tau = np.clip((at - spec.start) / (spec.end - spec.start), 0.0, 1.0) - 0.5
        q = self.item_factors[item_rows]
        taste = _dot(self.user_factors[user_rows], q) + tau * _dot(self.user_drift[user_rows], q)
        ratings: Float64Array = (
            spec.mean_rating + self.user_bias[user_rows] + self.item_bias[item_rows] + spec.taste_std * taste
        )
        return spec.effect_unit * ratings

    def simulate_ratings_by_index(
        self, user_rows: Int64Array, item_rows: Int64Array, at: Int64Array, seed: int
    ) -> Float32Array:
        """Return `simulate_ratings` for users and items given by their array index instead of their id."""
        spec = self.spec
        skewed = _skew(rating_noise(seed, user_rows, item_rows), spec.noise_skew)
        expected = self.expected_ratings_by_index(user_rows, item_rows, at)
        unrounded = expected + spec.effect_unit * spec.noise_std * skewed
        step = self._steps(user_rows)
        rounded = np.floor(unrounded / step + 0.5) * step
        ratings: Float32Array = np.clip(rounded, spec.lowest_rating, spec.high).astype(np.float32)
        return ratings

    def _steps(self, user_rows: Int64Array) -> Float64Array:
        """Return the difference between two ratings that each user may give."""
        return np.where(self.user_rounds_to_whole[user_rows], 1.0, self.spec.step)

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


def _skew(z: Float64Array, skew: float) -> Float64Array:
    """Return z - c (z^2 - 1), scaled to variance 1: mean 0 and a longer lower tail if z is normal."""
    skewed: Float64Array = (z - skew * (z * z - 1)) / np.sqrt(1 + 2 * skew**2)
    return skewed


def _noise_tail(bound: Float64Array, std: float, skew: float) -> Float64Array:
    """Return the probability that skewed noise with this standard deviation reaches a bound.

    The noise reaches the bound where z is between the roots of a quadratic equation.
    """
    if std == 0:
        return (bound <= 0).astype(np.float64)
    offset = bound / std * np.sqrt(1 + 2 * skew**2) - skew
    discriminant = 1 - 4 * skew * offset
    root = 1 + np.sqrt(np.maximum(discriminant, 0))
    upper = np.divide(root, 2 * skew, out=np.full_like(root, np.inf), where=skew > 0)
    return np.where(discriminant > 0, _normal_cdf(upper) - _normal_cdf(2 * offset / root), 0.0)


def _normal_cdf(z: Float64Array) -> Float64Array:
    error_function: Float64Array = np.vectorize(erf, otypes=[np.float64])(z / np.sqrt(2))
    return (1 + error_function) / 2


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
