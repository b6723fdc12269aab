"""`GroundTruth`: what was planted, what a user would really rate, and the dice of every rating."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from marquee.arrays import Floats, Indices, Mask, Scores
from marquee.errors import DataError
from marquee.synthetic.spec import SyntheticSpec

Codes = npt.NDArray[np.int8]
Factors = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint64]
Ids = npt.ArrayLike  # of strings, any shape; users and items are broadcast against each other

CENTRE = 3.09  # stars of an average user for an average item; those who choose rate higher


@dataclass(frozen=True)
class GroundTruth:
    """The planted users and items.

    User u at time t, tau(t) running from -1/2 at the log's begin to 1/2 at its end, expects of item i

        e(u, i, t) = centre + b_u + b_i + taste_std * <p_u + tau(t) * d_u, q_i>

    and rates e plus noise, rounded to the scale. Before the begin and after the end tastes stand still.
    """

    spec: SyntheticSpec
    seed: int
    user_factors: Factors  # p (n_users, n_factors), on a grid: see `planting`
    user_drift: Factors  # d (n_users, n_factors), on the same grid
    user_bias: Floats  # b_u (n_users,), in stars
    user_joined: Indices  # (n_users,), UTC seconds of the first session
    user_counts: Indices  # (n_users,), ratings each will have given
    user_coarse: Mask  # (n_users,), gives whole stars though halves are allowed
    item_factors: Factors  # q (n_items, n_factors), on the same grid
    item_lure: Factors  # r (n_items, n_factors), on the same grid: what attracts, as q is what pleases
    item_bias: Floats  # b_i (n_items,), in stars
    item_weight: Factors  # (n_items,), relative popularity
    item_appeared: Indices  # (n_items,), UTC seconds; nobody rates it earlier
    item_genres: Codes  # (n_items, 3), see `genres`

    @cached_property
    def user_ids(self) -> pd.Index:
        """Ids of the users, in the order of the arrays: u1, u2, ..."""
        return pd.Index([f"u{number}" for number in range(1, len(self.user_bias) + 1)], dtype="str")

    @cached_property
    def item_ids(self) -> pd.Index:
        """Ids of the items, in the order of the arrays: m1, m2, ..."""
        return pd.Index([f"m{number}" for number in range(1, len(self.item_bias) + 1)], dtype="str")

    def expected(self, users: Ids, items: Ids, at: npt.ArrayLike | None = None) -> Floats:
        """What users expect of items, free of noise, before rounding and clipping.

        `users` and `items` are ids and are broadcast, as is `at` (UTC seconds; None: the log's end):
        `expected(users[:, None], items[None, :])` is the whole matrix.

        Raises:
            DataError: an id is not of this dataset.
        """
        return self.expected_of(*self._coded(users, items), self._times(at))

    def would_rate(
        self, users: Ids, items: Ids, at: npt.ArrayLike | None = None, seed: int | None = None
    ) -> Scores:
        """What users would really rate, noise and all; arguments as in `expected`.

        The noise is a function of (seed, user, item). None is the log's own seed: a pair of the
        log, asked at its time, gives the rating in the log.
        """
        user, item = self._coded(users, items)
        return self.rating_of(user, item, self._times(at), self.seed if seed is None else seed)

    def expected_of(self, user: Indices, item: Indices, at: Indices) -> Floats:
        """`expected` for row numbers of the arrays."""
        spec = self.spec
        tau = np.clip((at - spec.start) / (spec.end - spec.start), 0.0, 1.0) - 0.5
        liking = self.item_factors[item]
        taste = _dot(self.user_factors[user], liking) + tau * _dot(self.user_drift[user], liking)
        stars: Floats = CENTRE + self.user_bias[user] + self.item_bias[item] + spec.taste_std * taste
        return spec.star * stars

    def rating_of(self, user: Indices, item: Indices, at: Indices, seed: int) -> Scores:
        """`would_rate` for row numbers of the arrays."""
        spec = self.spec
        z = pair_noise(seed, user, item)
        # z - c (z^2 - 1) has mean 0 and variance 1 + 2 c^2, and a longer tail below.
        skewed = (z - spec.noise_skew * (z * z - 1)) / np.sqrt(1 + 2 * spec.noise_skew**2)
        felt = self.expected_of(user, item, at) + spec.star * spec.noise_std * skewed
        step = np.where(self.user_coarse[user], 1.0, spec.step)
        rounded = np.floor(felt / step + 0.5) * step
        stars: Scores = np.clip(rounded, spec.lowest, spec.high).astype(np.float32)
        return stars

    def _times(self, at: npt.ArrayLike | None) -> Indices:
        return np.asarray(self.spec.end if at is None else at, dtype=np.int64)

    def _coded(self, users: Ids, items: Ids) -> tuple[Indices, Indices]:
        return _row_numbers(self.user_ids, users, "user"), _row_numbers(self.item_ids, items, "item")


def _row_numbers(index: pd.Index, ids: Ids, kind: str) -> Indices:
    asked = np.asarray(ids, dtype=object)
    rows = index.get_indexer(pd.Index(asked.ravel())).astype(np.int64)
    if (rows < 0).any():
        unknown = asked.ravel()[int(np.argmax(rows < 0))]
        raise DataError(f"{kind} {unknown!r} is not of this dataset: its ids are {index[0]} to {index[-1]}")
    return rows.reshape(asked.shape)


def _dot(left: Factors, right: Factors) -> Floats:
    product: Floats = np.einsum("...f,...f->...", left, right).astype(np.float64)
    return product


def pair_noise(seed: int, user: Indices, item: Indices) -> Floats:
    """Standard normal noise of each pair: the same for the same seed, user and item, in any order.

    A counter-based generator: the words of SplitMix64 (Steele, Lea, Flood 2014), in pairs
    through the transform of Box and Muller (1958).
    """
    key = _mixed(_mixed(np.asarray(seed).astype(np.uint64)) ^ np.asarray(user).astype(np.uint64))
    word = _mixed(key ^ np.asarray(item).astype(np.uint64))
    radius = ((word >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
    angle = (word & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
    noise: Floats = np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle)
    return noise


def _mixed(word: Words) -> Words:
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is the point
        word = word + np.uint64(0x9E3779B97F4A7C15)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return word ^ (word >> np.uint64(31))
