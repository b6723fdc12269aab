"""Drawing the ground truth: users and items with their factors, biases, activity and popularity.

Factors lie on a grid of 1/128 within [-4, 4]. A dot product of up to 64 of them is then exact in
float32, in whatever order a machine adds: the same seed gives the same ratings with every BLAS.
"""

import numpy as np

from marquee.arrays import Floats, Indices
from marquee.seeds import rng_for
from marquee.synthetic.genres import draw_genres, genre_directions, mean_direction
from marquee.synthetic.ground_truth import Codes, Factors, GroundTruth
from marquee.synthetic.spec import DAY, SyntheticSpec

GRID = 128
DECAY = 0.35  # variance explained by one factor, against the factor before it
GENRE_SHARE = 0.5  # of an item's factors that its genres decide
HITS = 0.35  # exponent of the power law at the head of the popularity
LATEST_JOIN = 0.95  # of the log; who joins later would have no time to rate


def plant(spec: SyntheticSpec, seed: int) -> GroundTruth:
    """Draw users and items; the same for the same spec and seed.

    Memory is some 100 bytes a user and an item; no rating is drawn yet.
    """
    spread = _factor_spread(spec.n_factors)
    codes = draw_genres(spec.items, rng_for(seed, "synthetic", "genres"))
    pleasing = _pleasing(spec, codes, seed)
    item_bias, weight = _item_appeal(spec, rng_for(seed, "synthetic", "appeal"))
    users = rng_for(seed, "synthetic", "users")
    return GroundTruth(
        spec=spec,
        seed=seed,
        user_factors=_on_grid(spread * users.standard_normal((spec.users, spec.n_factors))),
        user_drift=_on_grid(spread * spec.drift * users.standard_normal((spec.users, spec.n_factors))),
        user_bias=spec.user_bias_std * users.standard_normal(spec.users),
        user_joined=_joining_times(spec, users),
        user_counts=_activity(spec, rng_for(seed, "synthetic", "activity")),
        user_coarse=users.random(spec.users) < 0.5,
        item_factors=_on_grid(spread * pleasing),
        item_lure=_on_grid(spread * _attracting(spec, pleasing, seed)),
        item_bias=item_bias,
        item_weight=weight,
        item_appeared=_appearance(spec, rng_for(seed, "synthetic", "appearance")),
        item_genres=codes,
    )


def _factor_spread(n_factors: int) -> Floats:
    """Standard deviation of each factor, such that <p, q> has variance 1."""
    variance = DECAY ** np.arange(n_factors)
    return np.asarray((variance / variance.sum()) ** 0.25, dtype=np.float64)


def _on_grid(factors: Floats) -> Factors:
    return (np.clip(np.rint(factors * GRID), -4 * GRID, 4 * GRID) / GRID).astype(np.float32)


def _pleasing(spec: SyntheticSpec, codes: Codes, seed: int) -> Floats:
    rng = rng_for(seed, "synthetic", "item factors")
    by_genre = mean_direction(codes, genre_directions(spec.n_factors, rng))
    own = rng.standard_normal((spec.items, spec.n_factors))
    pleasing: Floats = np.sqrt(GENRE_SHARE) * by_genre + np.sqrt(1 - GENRE_SHARE) * own
    return pleasing


def _attracting(spec: SyntheticSpec, pleasing: Floats, seed: int) -> Floats:
    """What draws users to items: partly what pleases them then, partly not."""
    other = rng_for(seed, "synthetic", "item lure").standard_normal(pleasing.shape)
    attracting: Floats = spec.fulfilment * pleasing + np.sqrt(1 - spec.fulfilment**2) * other
    return attracting


def _item_appeal(spec: SyntheticSpec, rng: np.random.Generator) -> tuple[Floats, Factors]:
    """Bias and popularity of the items; what is popular is liked more.

    Popularity falls exponentially with the rank, as in MovieLens; the few hits follow a power law.
    """
    rank = rng.random(spec.items)
    fame = np.sqrt(12.0) * (rank - 0.5)  # variance 1
    quality = np.sqrt(1 - spec.acclaim**2) * rng.standard_normal(spec.items)
    weight = (np.exp(spec.popularity_depth * rank) * (1 - rank) ** -HITS).astype(np.float32)
    return spec.item_bias_std * (spec.acclaim * fame + quality), weight


def _joining_times(spec: SyntheticSpec, rng: np.random.Generator) -> Indices:
    share = LATEST_JOIN * rng.random(spec.users)
    joined: Indices = spec.start + (share * (spec.end - spec.start - DAY)).astype(np.int64)
    return joined


def _appearance(spec: SyntheticSpec, rng: np.random.Generator) -> Indices:
    """When items appear: most are there from the start, the others come evenly over the log."""
    appeared = np.full(spec.items, spec.start, dtype=np.int64)
    late = rng.permutation(spec.items)[spec.first_items :]
    appeared[late] += (rng.random(len(late)) * (spec.end - spec.start - DAY)).astype(np.int64)
    return appeared


def _activity(spec: SyntheticSpec, rng: np.random.Generator) -> Indices:
    """Number of ratings of each user: log-normal above a least number, summing to `n_ratings`."""
    least = max(1, min(spec.min_ratings, spec.n_ratings // (2 * spec.users), spec.most_ratings))
    eagerness = np.exp(spec.activity_spread * rng.standard_normal(spec.users))

    def counts(scale: float) -> Indices:
        wanted = np.minimum(least + np.floor(scale * eagerness), spec.most_ratings)
        return np.asarray(wanted, dtype=np.int64)

    low, high = 0.0, spec.most_ratings / float(eagerness.min())
    for _ in range(60):  # bisection: the sum only grows with the scale
        middle = (low + high) / 2
        low, high = (middle, high) if counts(middle).sum() <= spec.n_ratings else (low, middle)
    return _topped_up(counts(low), spec)


def _topped_up(counts: Indices, spec: SyntheticSpec) -> Indices:
    """Hand out the few ratings that rounding left over, one a user with room."""
    while left := spec.n_ratings - int(counts.sum()):
        room = np.flatnonzero(counts < spec.most_ratings)[:left]
        counts[room] += 1
    return counts
