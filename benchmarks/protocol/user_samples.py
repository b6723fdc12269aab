"""Certainty of the protocol, on samples of users of MovieLens 1M: coverage and power of intervals.

    6,040 users ─ shuffled, in groups ─► samples of 600 users
    each sample ─► three validation parts ─► fitted recipes ─► differences with intervals
    all samples ─► mean difference of two recipes: the truth

Each sample is a complete data set with models of its own, so the intervals are compared with everything that
varies from data set to data set: users, held-out ratings, fitted models and seeds. Ten samples of a shuffle
have no user in common, so their means vary less than those of independent samples, by the factor
sqrt(1 - 600 / 6040); deviations from the truth are divided by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from benchmarks.protocol.choice_loss import choose_among
from benchmarks.protocol.recipes import SAMPLE_GRID, Recipe
from benchmarks.protocol.user_values import collect_values, cut_at_random, part_means, prepare_values
from benchmarks.ratings import SEED, load_movielens
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.fold_intervals import MeanInterval, paired_fold_difference
from experiments.evaluation.user_intervals import (
    STANDARD_ERROR_FACTOR,
    UserInterval,
    UserValues,
)
from marquee.array_types import Float64Array
from marquee.interactions.columns import USER
from marquee.seeds import rng_for

DATA, N_ALL_USERS, N_USERS = "ml-1m", 6040, 600
SAMPLES_PER_SHUFFLE = N_ALL_USERS // N_USERS
N_SAMPLES, MIN_SAMPLES = 100, 6
INDEPENDENCE = np.sqrt(
    1 - N_USERS / N_ALL_USERS
)  # deviations of disjoint samples relative to independent ones
TRUE_DIFFERENCE = 0.02  # of the best mean, for the power
COMPETITIVE = 0.9  # recipes with at least this share of the best mean
MIN_COVERAGE, MAX_COVERAGE, MIN_POWER = 0.93, 0.97, 0.65


@dataclass(frozen=True)
class Sample:
    """Values of all recipes on one sample of users."""

    values: UserValues
    rated: UserValues

    @cached_property
    def part_means(self) -> Float64Array:
        """Mean of each recipe on each validation part, (n_recipes, n_parts)."""
        return part_means(self.values)


@dataclass(frozen=True)
class Pair:
    """Differences of two recipes on all samples; the deviations from the truth are those of independent ones.

    Attributes:
        truth: mean difference over all samples.
        by_user: difference on each sample, with its interval by user.
        by_part: the same with an interval over three parts.
    """

    truth: float
    by_user: tuple[UserInterval, ...]
    by_part: tuple[MeanInterval, ...]

    @property
    def deviations(self) -> Float64Array:
        """Deviation of each sample's difference from the truth."""
        return np.asarray(np.array([interval.mean - self.truth for interval in self.by_user]) / INDEPENDENCE)

    @property
    def half_widths(self) -> Float64Array:
        """Half the width of each interval by user."""
        return np.array([(interval.high - interval.low) / 2 for interval in self.by_user])

    @property
    def half_widths_by_part(self) -> Float64Array:
        """Half the width of each interval over the parts."""
        return np.array([(interval.high - interval.low) / 2 for interval in self.by_part])

    @property
    def coverage(self) -> float:
        """Share of intervals by user that contain the truth."""
        return float((np.abs(self.deviations) <= self.half_widths).mean())

    @property
    def error_ratio(self) -> float:
        """Actual standard error divided by the estimated one without its factor."""
        estimated = np.array([interval.standard_error for interval in self.by_user]) / STANDARD_ERROR_FACTOR
        return float(
            np.sqrt((self.deviations**2).sum() / (len(estimated) - 1)) / np.sqrt((estimated**2).mean())
        )

    def power(self, difference: float, half_widths: Float64Array) -> float:
        """Return the share of intervals that exclude zero if the true difference had this size."""
        return float((np.abs(difference + self.deviations) > half_widths).mean())


def measure_coverage(share: float) -> ResultRow:
    """Measure how often 95% intervals contain the true difference, and the factor of the standard error.

    The value is that of competitive recipes. Others are so much worse that no interval changes a choice.
    Their intervals are too narrow: what all users share, the fitted models, varies more.
    """
    samples = _samples(share)
    recipes = competitive_recipes(true_means(samples))
    all_pairs = _make_pairs(samples, range(len(SAMPLE_GRID)))
    pairs = [pair for models, pair in all_pairs.items() if set(models) <= set(recipes)]
    coverages = np.array([pair.coverage for pair in pairs])
    is_reached = MIN_COVERAGE <= coverages.mean() <= MAX_COVERAGE
    note = (
        f"target {MIN_COVERAGE:.0%} to {MAX_COVERAGE:.0%} {format_check_mark(is_reached)}; "
        f"{len(pairs)} pairs of recipes with at least {COMPETITIVE:.0%} of the best mean, "
        f"{coverages.min():.0%} to {coverages.max():.0%}, {_describe_factor(pairs)}; "
        f"all {len(all_pairs)} pairs {np.mean([pair.coverage for pair in all_pairs.values()]):.1%}, "
        f"{_describe_factor(list(all_pairs.values()))}"
    )
    return ResultRow("coverage", 100 * float(coverages.mean()), "%", len(samples), note)


def measure_power(share: float) -> ResultRow:
    """Measure how often a true difference of 2% is distinguished from zero with 600 users.

    The differences of pairs of competitive recipes are shifted so that the true difference is exactly 2%.
    The value is that of neighbors in a grid; the noise of different algorithms is larger. The peer is the
    interval of Nadeau and Bengio over the three parts, for the same pairs.
    """
    samples = _samples(share)
    means = true_means(samples)
    pairs, difference = _make_pairs(samples, competitive_recipes(means)), TRUE_DIFFERENCE * means.max()
    adjacent = {models for models in pairs if are_neighbors(*(SAMPLE_GRID[model] for model in models))}
    neighbors = [pairs[models] for models in pairs if models in adjacent]
    others = [pairs[models] for models in pairs if models not in adjacent]
    by_user, by_others = (
        np.array([pair.power(difference, pair.half_widths) for pair in kind]) for kind in (neighbors, others)
    )
    by_part = np.mean([pair.power(difference, pair.half_widths_by_part) for pair in neighbors])
    note = (
        f"target {MIN_POWER:.0%} {format_check_mark(by_user.mean() >= MIN_POWER)}; {N_USERS} users, "
        f"{len(neighbors)} pairs of neighbors in a grid, {by_user.min():.0%} to {by_user.max():.0%}; "
        f"{len(others)} other pairs {by_others.mean():.0%}, {by_others.min():.0%} to {by_others.max():.0%}"
    )
    return ResultRow("power", 100 * float(by_user.mean()), "%", len(samples), note, peer=100 * float(by_part))


def competitive_recipes(means: Float64Array) -> list[int]:
    """Return the recipes with at least `COMPETITIVE` of the best mean."""
    return [int(model) for model in np.flatnonzero(means >= COMPETITIVE * means.max())]


def are_neighbors(first: Recipe, second: Recipe) -> bool:
    """Return True if two recipes are consecutive in a grid that varies one parameter by a factor of two."""
    if first.algorithm != second.algorithm:
        return False
    ratios = [second.parameters[name] / value for name, value in first.parameters.items() if name != "dtype"]
    return sorted(max(ratio, 1 / ratio) for ratio in ratios) == [1.0] * (len(ratios) - 1) + [2.0]


def measure_losses_of_samples(share: float) -> Float64Array:
    """Return the true loss of the recipe that the selection rule chooses on each sample, as a share."""
    samples = _samples(share)
    means = true_means(samples)
    chosen = [choose_among(each.values, each.rated, SAMPLE_GRID, "explicit").winner.trial for each in samples]
    return np.asarray(1 - means[chosen] / means.max())


def true_means(samples: Sequence[Sample]) -> Float64Array:
    """Return the mean NDCG of each recipe over all samples."""
    means = [[each.values.mean(model) for model in range(each.values.n_models)] for each in samples]
    return np.asarray(np.mean(means, axis=0))


def sample_users(ratings: pd.DataFrame, number: int) -> pd.DataFrame:
    """Return the ratings of a sample of users; ten consecutive samples have no user in common."""
    shuffle, group = divmod(number, SAMPLES_PER_SHUFFLE)
    users = ratings[USER].unique()
    order = rng_for(SEED, "user sample", shuffle).permutation(len(users))
    chosen = users[order[group * N_USERS : (group + 1) * N_USERS]]
    return ratings[ratings[USER].isin(chosen)].reset_index(drop=True)


def _samples(share: float) -> tuple[Sample, ...]:
    return load_samples(max(MIN_SAMPLES, round(N_SAMPLES * share)))


@cache
def load_samples(n_samples: int) -> tuple[Sample, ...]:
    """Return the values of the recipes on the first samples."""
    ratings, samples = load_movielens(DATA), []
    for number in range(n_samples):
        name = f"{DATA}, {N_USERS} users, sample {number}"
        cuts = cut_at_random(name, sample_users(ratings, number), seed=number)
        prepare_values(cuts.parts, SAMPLE_GRID)
        values, rated = (collect_values(cuts.parts, SAMPLE_GRID, metric) for metric in ("ndcg", "rated_ndcg"))
        samples.append(Sample(values, rated))
    return tuple(samples)


def _make_pairs(samples: Sequence[Sample], recipes: Sequence[int]) -> dict[tuple[int, int], Pair]:
    return {pair: _make_pair(samples, *pair) for pair in combinations(recipes, 2)}


def _describe_factor(pairs: Sequence[Pair]) -> str:
    """Return the factor of the standard error: the root mean square over pairs, and the range."""
    ratios = np.array([pair.error_ratio for pair in pairs])
    return f"factor {np.sqrt((ratios**2).mean()):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def _make_pair(samples: Sequence[Sample], first: int, second: int) -> Pair:
    by_user = tuple(each.values.difference(first, second) for each in samples)
    by_part = tuple(
        paired_fold_difference(each.part_means[first].tolist(), each.part_means[second].tolist())
        for each in samples
    )
    return Pair(float(np.mean([interval.mean for interval in by_user])), by_user, by_part)
