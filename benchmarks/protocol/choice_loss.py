"""How much test NDCG the choice loses: against the best recipe of a grid, over random seeds.

    validation parts ─► selection rule ─► chosen recipe ──┐
    test parts ─────────────────────────► best recipe ────┴─► loss, as a share of the best mean test NDCG

The quality of a recipe is its mean NDCG over the test parts of all seeds, and the best recipe has the highest
one. The loss on the own test parts counts a choice by the test part of its own seed instead, which adds luck:
one part has as few users as a validation part. The loss in hindsight compares with the best recipe of each
test part; no rule can foresee that, and even the recipe that is best over the other seeds has such a loss.

The peer chooses by the mean over three folds of cross-validation, which hold out a third of the ratings. The
note also has the rule of one standard error over these folds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import kendalltau

from benchmarks.protocol.recipes import FACTOR_GRID, FULL_GRID, Recipe
from benchmarks.protocol.user_values import Cuts, collect_values, cut_at_random, part_means, prepare_values
from benchmarks.ratings import load_movielens
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.fold_intervals import standard_error
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
        by_one_standard_error: the cheapest recipe within one standard error of that one.
        tau_of_parts: Kendall's tau between the orders on the validation parts and on the test part.
        tau_of_folds: the same for the folds of cross-validation.
    """

    test_means: Float64Array
    by_rule: int
    by_mean: int
    by_folds: int
    by_one_standard_error: int
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


def choose_by_one_standard_error(means: Float64Array, recipes: Sequence[Recipe]) -> int:
    """Return the cheapest recipe within one standard error of the best.

    Args:
        means: mean of each recipe on each fold, (n_recipes, n_folds).
        recipes: the recipes, for their costs.
    """
    overall = means.mean(axis=1)
    best = int(overall.argmax())
    near = np.flatnonzero(overall >= overall[best] - standard_error(means[best].tolist())).tolist()
    return int(min(near, key=lambda model: (recipes[model].relative_cost, -overall[model])))


def choose_for_seed(cuts: Cuts, recipes: Sequence[Recipe]) -> SeedResult:
    """Choose among recipes for one seed, and measure all of them on the test part."""
    prepare_values([cuts.test, *cuts.parts, *cuts.folds], recipes)
    values, rated = (collect_values(cuts.parts, recipes, metric) for metric in ("ndcg", "rated_ndcg"))
    fold_means = part_means(collect_values(cuts.folds, recipes))
    test = part_means(collect_values([cuts.test], recipes))[:, 0]
    parts, folds = part_means(values).mean(axis=1), fold_means.mean(axis=1)
    return SeedResult(
        test,
        choose_among(values, rated, recipes, "explicit").winner.trial,
        int(parts.argmax()),
        int(folds.argmax()),
        choose_by_one_standard_error(fold_means, recipes),
        float(kendalltau(parts, test).statistic),
        float(kendalltau(folds, test).statistic),
    )


def mean_loss(test_means: Float64Array, choices: Sequence[int]) -> float:
    """Return the loss of the chosen recipes' mean test NDCG, as a share of that of the best recipe.

    Args:
        test_means: test NDCG by seed and recipe, (n_seeds, n_recipes).
        choices: recipe chosen for each seed.

    >>> mean_loss(np.array([[0.5, 0.25], [0.5, 0.25]]), [0, 1])  # one of two choices loses half
    0.25
    """
    qualities = test_means.mean(axis=0)
    return float(1 - qualities[list(choices)].mean() / qualities.max())


def loss_on_own_parts(test_means: Float64Array, choices: Sequence[int]) -> float:
    """Return the same loss if each choice counts by the test part of its own seed.

    >>> loss_on_own_parts(np.array([[0.5, 0.4], [0.3, 0.4]]), [0, 0])
    0.0
    """
    chosen = test_means[np.arange(len(choices)), list(choices)].mean()
    return float(1 - chosen / test_means.mean(axis=0).max())


def loss_in_hindsight(test_means: Float64Array, choices: Sequence[int]) -> float:
    """Return the mean loss against the best recipe of each seed's test part.

    >>> loss_in_hindsight(np.array([[0.5, 0.25], [0.25, 0.5]]), [0, 0])  # 0 and a half
    0.25
    """
    chosen = test_means[np.arange(len(choices)), list(choices)]
    return float((1 - chosen / test_means.max(axis=1)).mean())


def jackknife_error(
    loss: Callable[[Float64Array, Sequence[int]], float], test_means: Float64Array, choices: Sequence[int]
) -> float:
    r"""Return the standard error of a loss over seeds, by leaving out one seed at a time.

    .. math:: \sqrt{\frac{n - 1}{n} \sum_i (l_{(i)} - \bar l)^2}

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.
    """
    n = len(choices)
    others = [np.delete(np.arange(n), seed) for seed in range(n)]
    losses = np.array([loss(test_means[rows], np.array(choices)[rows].tolist()) for rows in others])
    return float(np.sqrt((n - 1) * losses.var()))


def best_of_other_seeds(test_means: Float64Array) -> list[int]:
    """Return, for each seed, the recipe with the best mean test NDCG over all other seeds."""
    others = test_means.sum(axis=0) - test_means
    return [int(row.argmax()) for row in others]


def _measure(name: str, recipes: Sequence[Recipe], target: float, share: float) -> ResultRow:
    n_seeds = max(MIN_SEEDS, round(N_SEEDS * share))
    results = [choose_for_seed(load_cuts(seed), recipes) for seed in range(n_seeds)]
    test_means = np.array([result.test_means for result in results])
    by_rule = [result.by_rule for result in results]
    loss = mean_loss(test_means, by_rule)
    note = (
        f"target {target:.1%} {format_check_mark(loss <= target)}; ± "
        f"{jackknife_error(mean_loss, test_means, by_rule):.2%}; {len(recipes)} recipes; "
        f"{_describe_losses(test_means, results)}; {_describe_orders(results)}"
    )
    peer = mean_loss(test_means, [result.by_folds for result in results])
    return ResultRow(name, 100 * loss, "%", n_seeds, note, peer=100 * peer)


def _describe_losses(test_means: Float64Array, results: Sequence[SeedResult]) -> str:
    """Return the losses of the other rules and by other definitions."""
    by_rule, by_mean, by_one_standard_error = (
        [getattr(result, kind) for result in results]
        for kind in ("by_rule", "by_mean", "by_one_standard_error")
    )
    own, own_error = (
        function(test_means, by_rule)
        for function in (loss_on_own_parts, partial(jackknife_error, loss_on_own_parts))
    )
    luck = loss_in_hindsight(test_means, best_of_other_seeds(test_means))
    return (
        f"on own test parts {own:.2%} ± {own_error:.2%}; best mean alone "
        f"{mean_loss(test_means, by_mean):.2%}; one standard error over folds "
        f"{mean_loss(test_means, by_one_standard_error):.2%}; in hindsight "
        f"{loss_in_hindsight(test_means, by_rule):.2%}, of which {luck:.2%} is luck"
    )


def _describe_orders(results: Sequence[SeedResult]) -> str:
    parts, folds = (
        np.mean([getattr(result, kind) for result in results]) for kind in ("tau_of_parts", "tau_of_folds")
    )
    return f"tau with the test order {parts:.2f}, of folds {folds:.2f}"
