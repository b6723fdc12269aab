"""Sampling of the ground truth: users and items with factors, biases, activity and popularity.

Factors are on a grid of 1/128 within [-4, 4]. A dot product of up to 64 of them is then exact in float32, in
any order of addition: the same seed gives the same ratings with every BLAS.
"""

import numpy as np

from marquee.array_types import Float32Array, Float64Array, Int64Array
from marquee.seeds import rng_for
from marquee.synthetic.genres import GenreCodes, draw_genre_directions, draw_genres, mean_genre_direction
from marquee.synthetic.ground_truth import GroundTruth
from marquee.synthetic.spec import DAY, SyntheticSpec

GRID_POINTS_PER_UNIT = 128
MAX_FACTOR = 4  # absolute value
FACTOR_DECAY = 0.35  # variance explained by a factor, relative to the factor before it
GENRE_SHARE = 0.5  # of the variance of an item's factors that its genres explain
POPULARITY_EXPONENT = 0.53  # of the power law for the most popular items
LATEST_JOIN = 0.95  # share of the log before the last user joins; later ones would have no time to rate
BISECTION_STEPS = 60


def draw_ground_truth(spec: SyntheticSpec, seed: int) -> GroundTruth:
    """Draw users and items, but no ratings; the result depends only on the specification and the seed.

    It takes about 150 bytes of memory per user and per item.
    """
    std = _factor_std(spec.n_factors)
    codes = draw_genres(spec.item_count, rng_for(seed, "synthetic", "genres"))
    item_factors = _draw_item_factors(spec, codes, rng_for(seed, "synthetic", "item factors"))
    item_bias, popularity = _draw_bias_and_popularity(spec, rng_for(seed, "synthetic", "appeal"))
    users = rng_for(seed, "synthetic", "users")
    user_factors, interests = _draw_tastes_and_interests(
        spec, std, users, rng_for(seed, "synthetic", "interests")
    )
    return GroundTruth(
        spec=spec,
        seed=seed,
        user_factors=user_factors,
        user_interests=interests,
        user_drift=_round_to_grid(std * spec.taste_drift * users.standard_normal(user_factors.shape)),
        user_bias=spec.user_bias_std * users.standard_normal(spec.user_count),
        user_joined_at=_draw_joining_times(spec, users),
        ratings_per_user=_draw_ratings_per_user(spec, rng_for(seed, "synthetic", "activity")),
        user_rounds_to_whole=users.random(spec.user_count) < 0.5,
        item_factors=_round_to_grid(std * item_factors),
        item_bias=item_bias,
        item_popularity=popularity,
        item_appeared_at=_draw_appearance_times(spec, rng_for(seed, "synthetic", "appearance")),
        item_genres=codes,
    )


def _factor_std(n_factors: int) -> Float64Array:
    """Return the standard deviation of each factor, such that <p, q> has variance 1."""
    variance = FACTOR_DECAY ** np.arange(n_factors)
    return np.asarray((variance / variance.sum()) ** 0.25, dtype=np.float64)


def _round_to_grid(factors: Float64Array) -> Float32Array:
    limit = MAX_FACTOR * GRID_POINTS_PER_UNIT
    points = factors * GRID_POINTS_PER_UNIT
    np.clip(np.rint(points, out=points), -limit, limit, out=points)
    points /= GRID_POINTS_PER_UNIT
    return points.astype(np.float32)


def _draw_item_factors(spec: SyntheticSpec, codes: GenreCodes, rng: np.random.Generator) -> Float64Array:
    """Draw the item factors with variance 1, shape (n_items, n_factors)."""
    from_genres = mean_genre_direction(codes, draw_genre_directions(spec.n_factors, rng))
    individual = rng.standard_normal((spec.item_count, spec.n_factors))
    factors: Float64Array = np.sqrt(GENRE_SHARE) * from_genres + np.sqrt(1 - GENRE_SHARE) * individual
    return factors


def _draw_tastes_and_interests(
    spec: SyntheticSpec, std: Float64Array, rng: np.random.Generator, interest_rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Draw what users like and what attracts them, both (n_users, n_factors), with a correlation."""
    tastes = rng.standard_normal((spec.user_count, spec.n_factors))
    correlation = spec.attraction_correlation
    interests = np.sqrt(1 - correlation**2) * interest_rng.standard_normal(tastes.shape)
    interests += correlation * tastes
    return _round_to_grid(std * tastes), _round_to_grid(std * interests)


def _draw_bias_and_popularity(
    spec: SyntheticSpec, rng: np.random.Generator
) -> tuple[Float64Array, Float32Array]:
    """Draw the bias and the popularity of the items; popular items are liked more.

    Popularity decreases exponentially with the rank, as in MovieLens, below a power-law head.
    """
    rank = rng.random(spec.item_count)
    standardized_rank = np.sqrt(12.0) * (rank - 0.5)  # variance 1
    correlation = spec.popularity_bias_correlation
    unrelated = np.sqrt(1 - correlation**2) * rng.standard_normal(spec.item_count)
    popularity = np.exp(spec.log_popularity_range * rank) * (1 - rank) ** -POPULARITY_EXPONENT
    bias = spec.item_bias_std * (correlation * standardized_rank + unrelated)
    return bias, popularity.astype(np.float32)


def _draw_joining_times(spec: SyntheticSpec, rng: np.random.Generator) -> Int64Array:
    share = LATEST_JOIN * rng.random(spec.user_count)
    times: Int64Array = spec.start + (share * (spec.end - spec.start - DAY)).astype(np.int64)
    return times


def _draw_appearance_times(spec: SyntheticSpec, rng: np.random.Generator) -> Int64Array:
    """Draw the times at which items appear: most at the start, the others evenly over the log."""
    times = np.full(spec.item_count, spec.start, dtype=np.int64)
    late = rng.permutation(spec.item_count)[spec.n_initial_items :]
    times[late] += (rng.random(len(late)) * (spec.end - spec.start - DAY)).astype(np.int64)
    return times


def _draw_ratings_per_user(spec: SyntheticSpec, rng: np.random.Generator) -> Int64Array:
    """Draw the number of ratings of each user: log-normal above a minimum, with the sum `n_ratings`."""
    half_of_mean = spec.n_ratings // (2 * spec.user_count)
    minimum = max(1, min(spec.min_ratings, half_of_mean, spec.max_ratings_per_user))
    activity = np.exp(spec.activity_std * rng.standard_normal(spec.user_count))

    def counts_at(scale: float) -> Int64Array:
        counts = np.minimum(minimum + np.floor(scale * activity), spec.max_ratings_per_user)
        return np.asarray(counts, dtype=np.int64)

    low, high = 0.0, spec.max_ratings_per_user / float(activity.min())
    for _ in range(BISECTION_STEPS):  # the sum increases with the scale
        middle = (low + high) / 2
        low, high = (middle, high) if counts_at(middle).sum() <= spec.n_ratings else (low, middle)
    return _distribute_remainder(counts_at(low), spec)


def _distribute_remainder(counts: Int64Array, spec: SyntheticSpec) -> Int64Array:
    """Add the ratings that rounding left over, one to each user below the maximum."""
    while remainder := spec.n_ratings - int(counts.sum()):
        below_maximum = np.flatnonzero(counts < spec.max_ratings_per_user)[:remainder]
        counts[below_maximum] += 1
    return counts
