"""Width of the intervals on MovieLens 1M: differences to the best recipe, as shares of its NDCG.

A complete run also draws the selection on MovieLens 1M, docs/figures/selection.png, and the widths for fewer
users, docs/figures/certainty.png.
"""

from pathlib import Path

import numpy as np

from benchmarks.plotting import save_figure
from benchmarks.protocol.certainty_figure import WidthCurve, draw_widths
from benchmarks.protocol.choice_loss import choose_among
from benchmarks.protocol.recipes import NEAR_GRID
from benchmarks.protocol.user_values import Cuts, collect_values, cut_at_random, part_means, prepare_values
from benchmarks.ratings import SEED, load_movielens
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.fold_intervals import paired_fold_difference
from experiments.evaluation.user_intervals import UserInterval, UserValues
from experiments.figures.recommender_losses import plot_recommender_losses
from experiments.figures.style import figure_style
from marquee.seeds import rng_for

DATA = "ml-1m"
MAX_HALF_WIDTH = 0.005
NEAR = 0.05  # differences up to this share of the best mean are compared
NUMBERS_OF_USERS = (100, 200, 400, 800, 1600, 3200)
N_QUICK_RECIPES = 3  # of the grid, all with all ratings
MORE_PARTS = 8
N_DRAWS = 20  # samples of each number of users
FIGURES = Path("docs/figures")


def measure_half_width(share: float) -> ResultRow:
    """Measure half the width of the intervals of differences between the best recipe and those near it."""
    cuts = cut_at_random(DATA, load_movielens(DATA), seed=0)
    recipes = NEAR_GRID if share == 1.0 else NEAR_GRID[:N_QUICK_RECIPES]
    prepare_values(cuts.parts, recipes)
    values = collect_values(cuts.parts, recipes)
    best, second, *_ = np.argsort(-part_means(values).mean(axis=1)).tolist()
    widths = _relative_widths(values, best)
    nearest = widths[second]
    details = ", ".join(f"{recipes[model].label} {width:.2%}" for model, width in widths.items())
    if share == 1.0:
        _draw_figures(cuts, values)
    own = values.interval(best)
    note = (
        f"target {MAX_HALF_WIDTH:.1%} {format_check_mark(nearest <= MAX_HALF_WIDTH)}; "
        f"best {recipes[best].label}, NDCG {own.mean:.4f} ± {_half_width(own) / own.mean:.2%}; "
        f"differences to {details}; {MORE_PARTS} parts would give "
        f"{width_with_more_parts(values, best, second, MORE_PARTS):.2f} of the width"
    )
    return ResultRow("half-width", 100 * nearest, "%", own.n_users, note)


def _relative_widths(values: UserValues, best: int) -> dict[int, float]:
    """Return the half-width of the difference of each recipe near the best one, best first."""
    means = part_means(values).mean(axis=1)
    return {
        model: _half_width(values.difference(best, model)) / means[best]
        for model in np.argsort(-means).tolist()
        if model != best and means[best] - means[model] <= NEAR * means[best]
    }


def select_users(values: UserValues, n_users: int, rng: np.random.Generator) -> UserValues:
    """Return the values of users drawn without replacement."""
    users = rng.choice(np.unique(values.users), n_users, replace=False)
    is_drawn = np.isin(values.users, users)
    return UserValues(values.values[:, is_drawn], values.parts[is_drawn], values.users[is_drawn])


def width_with_more_parts(values: UserValues, model: int, reference: int, n_parts: int) -> float:
    r"""Return the expected width of a difference's interval with more parts, relative to the present width.

    .. math:: \sqrt{\frac{\tau^2 + \sigma^2 / n}{\tau^2 + \sigma^2 / P}}

    where :math:`\sigma^2` is the variance of a user's difference between parts, that is, by which items were
    held out, and :math:`\tau^2` is the variance between users of what remains. Users who are evaluated on all
    P parts count.
    """
    n_present = len(np.unique(values.parts))
    differences = np.full((int(values.users.max()) + 1, n_present), np.nan)
    differences[values.users, values.parts] = values.values[model] - values.values[reference].astype(
        np.float64
    )
    differences = differences[~np.isnan(differences).any(axis=1)]
    within = float(differences.var(axis=1, ddof=1).mean())
    between = max(0.0, float(differences.mean(axis=1).var(ddof=1)) - within / n_present)
    return float(np.sqrt((between + within / n_parts) / (between + within / n_present)))


def _half_width(interval: UserInterval) -> float:
    return (interval.high - interval.low) / 2


def _draw_figures(cuts: Cuts, values: UserValues) -> None:
    choice = choose_among(values, collect_values(cuts.parts, NEAR_GRID, "rated_ndcg"), NEAR_GRID, "explicit")
    labels = [recipe.label.replace(", dtype=float32", "") for recipe in NEAR_GRID]
    with figure_style():
        save_figure(plot_recommender_losses(choice, labels, "NDCG@10"), FIGURES / "selection.png")
        save_figure(draw_widths(_width_curves(values)), FIGURES / "certainty.png")


def _width_curves(values: UserValues) -> list[WidthCurve]:
    """Return half-widths by number of users, for a similar and for a different model than the best one."""
    order = np.argsort(-part_means(values).mean(axis=1)).tolist()
    best = order[0]
    other = next(model for model in order if NEAR_GRID[model].algorithm != NEAR_GRID[best].algorithm)
    pairs = {"another algorithm": other, "the same algorithm, next parameter": order[1]}
    numbers = [*NUMBERS_OF_USERS, len(np.unique(values.users))]
    samples = [_draw_samples(values, number) for number in numbers]
    curves = [
        WidthCurve(f"by user: {name}", numbers, [_mean_width(each, best, model) for each in samples])
        for name, model in pairs.items()
    ]
    # All users are a single sample, and the width over three parts of a single sample is chance.
    by_part = [
        float(np.mean([_width_by_part(each, best, other) for each in drawn])) for drawn in samples[:-1]
    ]
    return [WidthCurve("over three parts: another algorithm", numbers[:-1], by_part), *curves]


def _draw_samples(values: UserValues, n_users: int) -> list[UserValues]:
    return [
        select_users(values, n_users, rng_for(SEED, "half-width", n_users, draw)) for draw in range(N_DRAWS)
    ]


def _mean_width(samples: list[UserValues], best: int, other: int) -> float:
    """Return the mean half-width of a difference, in % of the best mean."""
    widths = [100 * _half_width(each.difference(best, other)) / each.mean(best) for each in samples]
    return float(np.mean(widths))


def _width_by_part(values: UserValues, best: int, other: int) -> float:
    """Return the half-width of the interval of Nadeau and Bengio over the parts, in % of the best mean."""
    means = part_means(values)
    interval = paired_fold_difference(means[best].tolist(), means[other].tolist())
    return 100 * (interval.high - interval.low) / 2 / values.mean(best)
