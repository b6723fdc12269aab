"""How much test NDCG the choice loses: against the best recipe of a grid, over random seeds.

    validation parts ─► selection rule ─► chosen recipe ──┐
    test part ───────────────────────────► best recipe ───┴─► loss, as a share of the best test NDCG

The best recipe is that of the same test part, so part of the loss is luck that no rule can foresee. The peer
is the recipe with the best mean over three folds of cross-validation, which hold out a third of the ratings.
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
from experiments.selection.recommender_rule import Feedback, RecommenderTrials, choose_recommender
from marquee.array_types import Float64Array

N_SEEDS = 10
MARGIN = 0.01  # of the selection rule
MAX_LOSS, MAX_FACTOR_LOSS = 0.005, 0.01
DATA = "ml-100k"


@dataclass(frozen=True)
class SeedLosses:
    """Losses for one seed, as shares of the best test NDCG.

    Attributes:
        by_rule: of the recipe that the selection rule chooses.
        by_mean: of the recipe with the best mean over the validation parts.
        by_folds: of the recipe with the best mean over the folds of cross-validation.
        tau_of_parts: Kendall's tau between the orders on the validation parts and on the test part.
        tau_of_folds: the same for the folds of cross-validation.
        test_means: test NDCG of each recipe.
        choice: number of the recipe that the selection rule chooses.
    """

    by_rule: float
    by_mean: float
    by_folds: float
    tau_of_parts: float
    tau_of_folds: float
    test_means: Float64Array
    choice: int


def measure_choice_loss(share: float) -> ResultRow:
    """Measure the loss for a grid of all kinds of candidates."""
    return _measure("choice loss", FULL_GRID, MAX_LOSS, share)


def measure_factor_loss(share: float) -> ResultRow:
    """Measure the loss for models that differ only in their number of factors."""
    return _measure("factor ladder", FACTOR_GRID, MAX_FACTOR_LOSS, share)


def choose(values: UserValues, rated: UserValues, recipes: Sequence[Recipe], feedback: Feedback) -> int:
    """Return the number of the recipe that the selection rule chooses."""
    rated_means = [rated.mean(model) for model in range(rated.n_models)]
    trials = RecommenderTrials(
        [recipe.key for recipe in recipes],
        [recipe.algorithm for recipe in recipes],
        values,
        rated_means,
        [recipe.relative_cost for recipe in recipes],
    )
    return choose_recommender(trials, feedback, MARGIN).winner.trial


def load_cuts(seed: int) -> Cuts:
    """Return the cuts of MovieLens 100K for a seed."""
    return cut_at_random(DATA, load_movielens(DATA), seed)


def compute_losses(cuts: Cuts, recipes: Sequence[Recipe]) -> SeedLosses:
    """Choose among recipes for one seed, and compare the choice with the best recipe on the test part."""
    prepare_values([cuts.test, *cuts.parts, *cuts.folds], recipes)
    test, parts, folds = (_means(kind, recipes) for kind in ([cuts.test], cuts.parts, cuts.folds))
    values, rated = (collect_values(cuts.parts, recipes, metric) for metric in ("ndcg", "rated_ndcg"))
    losses = 1 - test / test.max()
    choice = choose(values, rated, recipes, "explicit")
    return SeedLosses(
        float(losses[choice]),
        float(losses[parts.argmax()]),
        float(losses[folds.argmax()]),
        float(kendalltau(parts, test).statistic),
        float(kendalltau(folds, test).statistic),
        test,
        choice,
    )


def _means(cuts: Sequence[Cut], recipes: Sequence[Recipe]) -> Float64Array:
    values = collect_values(cuts, recipes)
    return np.array([values.mean(model) for model in range(values.n_models)])


def _measure(name: str, recipes: Sequence[Recipe], target: float, share: float) -> ResultRow:
    n_seeds = max(1, round(N_SEEDS * share))
    losses = [compute_losses(load_cuts(seed), recipes) for seed in range(n_seeds)]
    by_rule, by_mean, by_folds = (
        np.array([getattr(each, kind) for each in losses]) for kind in ("by_rule", "by_mean", "by_folds")
    )
    taus = [np.mean([getattr(each, kind) for each in losses]) for kind in ("tau_of_parts", "tau_of_folds")]
    note = (
        f"target {target:.1%} {format_check_mark(by_rule.mean() <= target)}; {len(recipes)} recipes, "
        f"highest "
        f"loss {by_rule.max():.2%}; best mean alone {by_mean.mean():.2%}; against the recipe that is "
        f"best on "
        f"average {_loss_of_average(losses):.2%}; tau with the test order {taus[0]:.2f}, "
        f"of folds {taus[1]:.2f}"
    )
    return ResultRow(name, 100 * by_rule.mean(), "%", n_seeds, note, peer=100 * by_folds.mean())


def _loss_of_average(losses: Sequence[SeedLosses]) -> float:
    """Return the loss of the mean test NDCG, against the recipe with the best mean over all seeds."""
    means = np.array([each.test_means for each in losses])
    chosen = np.mean([each.test_means[each.choice] for each in losses])
    return float(1 - chosen / means.mean(axis=0).max())
