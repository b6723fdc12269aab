"""Width of the intervals on MovieLens 1M: differences to the best recipe, as shares of its NDCG."""

import numpy as np

from benchmarks.protocol.recipes import NEAR_GRID
from benchmarks.protocol.user_values import collect_values, cut_at_random, prepare_values
from benchmarks.ratings import load_movielens, sample_ratings
from benchmarks.result_rows import ResultRow, format_check_mark

DATA = "ml-1m"
MAX_HALF_WIDTH = 0.005
NEAR = 0.05  # differences up to this share of the best mean are compared


def measure_half_width(share: float) -> ResultRow:
    """Measure half the width of the intervals of differences between the best recipe and those near it."""
    ratings = sample_ratings(load_movielens(DATA), share)
    cuts = cut_at_random(f"{DATA}, {share:g} of the ratings", ratings, seed=0)
    prepare_values(cuts.parts, NEAR_GRID)
    values = collect_values(cuts.parts, NEAR_GRID)
    means = np.array([values.mean(model) for model in range(values.n_models)])
    best = int(means.argmax())
    widths = {}
    for model in np.argsort(-means)[1:].tolist():
        difference = values.difference(best, model)
        if difference.mean <= NEAR * means[best]:
            widths[NEAR_GRID[model].label] = (difference.high - difference.low) / 2 / means[best]
    own = values.interval(best)
    nearest = next(iter(widths.values()))
    details = ", ".join(f"{label} {width:.2%}" for label, width in widths.items())
    note = (
        f"target {MAX_HALF_WIDTH:.1%} {format_check_mark(nearest <= MAX_HALF_WIDTH)}; "
        f"best {NEAR_GRID[best].label}, NDCG {own.mean:.4f} ± "
        f"{(own.high - own.low) / 2 / own.mean:.2%}, {own.n_users} users; to {details}"
    )
    return ResultRow("half-width", 100 * nearest, "%", own.n_users, note)
