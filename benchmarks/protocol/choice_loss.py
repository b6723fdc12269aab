"""How much test NDCG the choice loses: against the best recipe of a grid, over random seeds.

    validation parts ─► selection rule ─► chosen recipe ──┐
    test part ───────────────────────────► best recipe ───┴─► loss, as a share of the best test NDCG

The loss is that of the mean test NDCG: the choice may differ from seed to seed, and the best recipe is the
one with the highest mean over all seeds. The loss in hindsight compares with the best recipe of each seed
instead; part of it is luck on the test part, which no rule can foresee: even the recipe that is best on
average over the other seeds has such a loss. The peer chooses by the mean over three folds of
cross-validation, which hold out a third of the ratings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from benchmarks.protocol.recipes import FACTOR_GRID, FULL_GRID, Recipe
from benchmarks.protocol.user_values import Cut, Cuts, collect_values, cut_at_random, prepare_values
from benchmarks.ratings import load_movielens
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.user_intervals import UserValues
from experiments.selection.recommender_rule import (
    RecommenderChoice,
    RecommenderTrials,
    choose_recommender,
)
from marquee.array_types import Float64Array
from marquee.interactions.columns import FeedbackType

N_SEEDS, MIN_SEEDS = 10, 2
MARGIN = 0.01  # of the selection rule
MAX_LOSS, MAX_FACTOR_LOSS = 0.005, 0.01
DATA = "ml-100k"


@dataclass(frozen=True)
class SeedResult:
    """Choices among recipes for one seed, and the test NDCG of every recipe.

    Attributes:
        test_means: test NDCG of each recipe.
        by_rule: recipe that the selection rule chooses.
        by_mean: recipe with the best mean over the validation parts.
        by_folds: recipe with the best mean over the folds of cross-validation.
        tau_of_parts: Kendall's tau between the orders on the validation parts and on the test part.
        tau_of_folds: the same for the folds of cross-validation.
    """

    test_means: Float64Array
    by_rule: int
    by_mean: int
    by_folds: int
    tau_of_parts: float
    tau_of_folds: float


def measure_choice_loss(share: float) -> ResultRow:
    """Measure the loss for a grid of all kinds of candidates."""
    return _measure("choice loss", FULL_GRID, MAX_LOSS, share)


def measure_factor_loss(share: float) -> ResultRow:
    """Measure the loss for models that differ only in their number of factors."""
    return _measure("factor ladder", FACTOR_GRID, MAX_FACTOR_LOSS, share)


def choose_among(
    values: UserValues, rated: UserValues, recipes: Sequence[Recipe], feedback: FeedbackType
) -> RecommenderChoice:
    """Apply the selection rule to recipes with these values and values over rated items only."""
    rated_means = [rated.mean(model) for model in range(rated.n_models)]
    trials = RecommenderTrials(
        [recipe.key for recipe in recipes],
        [recipe.algorithm for recipe in recipes],
        values,
        rated_means,
        [recipe.relative_cost for recipe in recipes],
    )
    return choose_recommender(trials, feedback, MARGIN)


def load_cuts(seed: int) -> Cuts:
    """Return the cuts of MovieLens 100K for a seed."""
    return cut_at_random(DATA, load_movielens(DATA), seed)


def choose_for_seed(cuts: Cuts, recipes: Sequence[Recipe]) -> SeedResult:
    """Choose among recipes for one seed, and measure all of them on the test part."""
    prepare_values([cuts.test, *cuts.parts, *cuts.folds], recipes)
    test, parts, folds = (_means(kind, recipes) for kind in ([cuts.test], cuts.parts, cuts.folds))
    values, rated = (collect_values(cuts.parts, recipes, metric) for metric in ("ndcg", "rated_ndcg"))
    return SeedResult(
        test,
        choose_among(values, rated, recipes, "explicit").winner.trial,
        int(parts.argmax()),
        int(folds.argmax()),
        float(kendalltau(parts, test).statistic),
        float(kendalltau(folds, test).statistic),
    )


def mean_loss(test_means: Float64Array, choices: Sequence[int]) -> float:
    """Return the loss of the mean test NDCG, as a share of that of the best recipe.

    Args:
        test_means: test NDCG by seed and recipe, (n_seeds, n_recipes).
        choices: recipe chosen for each seed.

    >>> mean_loss(np.array([[0.5, 0.4], [0.3, 0.4]]), [0, 0])
    0.0
    """
    chosen = test_means[np.arange(len(choices)), list(choices)].mean()
    return float(1 - chosen / test_means.mean(axis=0).max())


def loss_in_hindsight(test_means: Float64Array, choices: Sequence[int]) -> float:
    """Return the mean loss against the best recipe of each seed's test part.

    >>> loss_in_hindsight(np.array([[0.5, 0.4], [0.3, 0.4]]), [0, 0])  # 0 and a quarter
    0.125
    """
    chosen = test_means[np.arange(len(choices)), list(choices)]
    return float((1 - chosen / test_means.max(axis=1)).mean())


def best_of_other_seeds(test_means: Float64Array) -> list[int]:
    """Return, for each seed, the recipe with the best mean test NDCG over all other seeds."""
    others = test_means.sum(axis=0) - test_means
    return [int(row.argmax()) for row in others]


def _means(cuts: Sequence[Cut], recipes: Sequence[Recipe]) -> Float64Array:
    values = collect_values(cuts, recipes)
    return np.array([values.mean(model) for model in range(values.n_models)])


def _measure(name: str, recipes: Sequence[Recipe], target: float, share: float) -> ResultRow:
    n_seeds = max(MIN_SEEDS, round(N_SEEDS * share))
    results = [choose_for_seed(load_cuts(seed), recipes) for seed in range(n_seeds)]
    test_means = np.array([result.test_means for result in results])
    by_rule, by_mean, by_folds = (
        [getattr(result, kind) for result in results] for kind in ("by_rule", "by_mean", "by_folds")
    )
    loss = mean_loss(test_means, by_rule)
    taus = [
        np.mean([getattr(result, kind) for result in results]) for kind in ("tau_of_parts", "tau_of_folds")
    ]
    note = (
        f"target {target:.1%} {format_check_mark(loss <= target)}; {len(recipes)} recipes; best mean alone "
        f"{mean_loss(test_means, by_mean):.2%}; in hindsight {loss_in_hindsight(test_means, by_rule):.2%}, "
        f"of which {loss_in_hindsight(test_means, best_of_other_seeds(test_means)):.2%} is luck; folds in "
        f"hindsight {loss_in_hindsight(test_means, by_folds):.2%}; tau with the test order {taus[0]:.2f}, of "
        f"folds {taus[1]:.2f}"
    )
    return ResultRow(name, 100 * loss, "%", n_seeds, note, peer=100 * mean_loss(test_means, by_folds))
