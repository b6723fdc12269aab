"""Selections in simulation: how often the chosen recipe is truly more than 1% worse than the best.

users of MovieLens 100K ─┬─ drawn with replacement ─► values of all recipes on three parts ─► choice ─┐
                         └─ all ────────────────────► true means ─────────────────────────────────────┴─► loss

Draws vary the users, but not the fitted models. The note has the same for complete samples of 600 users of
MovieLens 1M with models of their own (`benchmarks.protocol.user_samples`), and for draws whose truth is the
mean NDCG over the test parts of all seeds, with which choices on folds can be compared as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.protocol.choice_loss import (
    MARGIN,
    N_SEEDS,
    choose_among,
    choose_by_one_standard_error,
    load_cuts,
)
from benchmarks.protocol.recipes import FULL_GRID, Recipe
from benchmarks.protocol.user_samples import measure_losses_of_samples
from benchmarks.protocol.user_values import collect_values, draw_users, part_means, prepare_values
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.user_intervals import UserValues
from marquee.array_types import Float64Array
from marquee.interactions.columns import FeedbackType
from marquee.seeds import rng_for

N_DRAWS = 300
MAX_WRONG = 0.05


@dataclass(frozen=True)
class SeedValues:
    """Values of all recipes for one seed.

    Attributes:
        values: NDCG by user and validation part.
        rated: the same over rated items only.
        folds: NDCG by user and fold of cross-validation.
        test_means: NDCG of each recipe on the test part.
    """

    values: UserValues
    rated: UserValues
    folds: UserValues
    test_means: Float64Array

    @classmethod
    def load(cls, seed: int, recipes: Sequence[Recipe]) -> "SeedValues":
        """Load or compute the values on the cuts of a seed."""
        cuts = load_cuts(seed)
        prepare_values([cuts.test, *cuts.parts, *cuts.folds], recipes)
        return cls(
            collect_values(cuts.parts, recipes),
            collect_values(cuts.parts, recipes, "rated_ndcg"),
            collect_values(cuts.folds, recipes),
            part_means(collect_values([cuts.test], recipes))[:, 0],
        )

    def draw(self, rng: np.random.Generator) -> "SeedValues":
        """Return the values of as many users, drawn with replacement."""
        state = rng.bit_generator.state
        values = draw_users(self.values, rng)
        rng.bit_generator.state = state  # the same users
        rated = draw_users(self.rated, rng)
        return SeedValues(values, rated, draw_users(self.folds, rng), self.test_means)


@dataclass(frozen=True)
class DrawChoices:
    """Recipes chosen for one draw of users.

    Attributes:
        explicit: by the selection rule for explicit feedback.
        implicit: by the selection rule for implicit feedback.
        best_mean: by the best mean over the parts.
        one_standard_error: by the rule of one standard error over the parts.
        on_folds: by the same rule over the folds.
    """

    explicit: int
    implicit: int
    best_mean: int
    one_standard_error: int
    on_folds: int


@dataclass(frozen=True)
class Draws:
    """Choices for all draws of users.

    Attributes:
        losses: true loss by seed and recipe, as a share of the best mean.
        test_losses: the same by the mean over the test parts of all seeds.
        seeds: seed of each draw.
        choices: choices for each draw.
    """

    losses: Float64Array
    test_losses: Float64Array
    seeds: list[int]
    choices: list[DrawChoices]

    def wrong_share(self, rule: str) -> float:
        """Return the share of draws for which the choice of a rule loses more than the margin."""
        chosen = [getattr(choices, rule) for choices in self.choices]
        return float((self.losses[self.seeds, chosen] > MARGIN).mean())

    def wrong_shares_by_seed(self, rule: str) -> list[float]:
        """Return the same share for each seed."""
        chosen = np.array([getattr(choices, rule) for choices in self.choices])
        is_wrong, seeds = self.losses[self.seeds, chosen] > MARGIN, np.array(self.seeds)
        return [float(is_wrong[seeds == seed].mean()) for seed in np.unique(seeds)]

    def wrong_share_on_test(self, rule: str) -> float:
        """Return the same share by the mean over the test parts."""
        chosen = [getattr(choices, rule) for choices in self.choices]
        return float((self.test_losses[chosen] > MARGIN).mean())


def measure_wrong_selections(share: float) -> ResultRow:
    """Measure how often the selection rule chooses a recipe that is truly more than 1% worse than the best.

    The peer is the rule of one standard error over the three parts, which chooses the cheapest.
    """
    n_seeds = max(1, round(N_SEEDS * share))
    draws = draw_choices(n_seeds, n_draws=max(1, round(N_DRAWS * share) // n_seeds))
    explicit, implicit, best_mean, one_error = (
        draws.wrong_share(rule) for rule in ("explicit", "implicit", "best_mean", "one_standard_error")
    )
    worst, n = max(explicit, implicit), len(draws.choices)
    of_samples = measure_losses_of_samples(share) > MARGIN
    note = (
        f"target {MAX_WRONG:.0%} {format_check_mark(worst <= MAX_WRONG)}; explicit {explicit:.1%}, implicit "
        f"{implicit:.1%}, best mean alone {best_mean:.1%}; {n_seeds} seeds, at most "
        f"{max(draws.wrong_shares_by_seed('explicit')):.0%} for one; by mean test NDCG "
        f"{draws.wrong_share_on_test('explicit'):.1%}, one standard error over folds "
        f"{draws.wrong_share_on_test('on_folds'):.1%}; {len(of_samples)} samples of 600 users with models of "
        f"their own {of_samples.mean():.1%}"
    )
    return ResultRow("selection", 100 * worst, "%", n, note, peer=100 * one_error)


def draw_choices(n_seeds: int, n_draws: int) -> Draws:
    """Choose among the recipes of the full grid for `n_draws` draws of users of each seed."""
    by_seed = [SeedValues.load(seed, FULL_GRID) for seed in range(n_seeds)]
    choices = [
        choose_for_draw(values.draw(rng_for(SEED, "selection", seed, draw)), FULL_GRID)
        for seed, values in enumerate(by_seed)
        for draw in range(n_draws)
    ]
    return Draws(
        np.array([relative_losses(part_means(values.values).mean(axis=1)) for values in by_seed]),
        relative_losses(np.mean([values.test_means for values in by_seed], axis=0)),
        np.repeat(np.arange(n_seeds), n_draws).tolist(),
        choices,
    )


def relative_losses(means: Float64Array) -> Float64Array:
    """Return the loss of each recipe against the best one, as a share of its mean.

    >>> relative_losses(np.array([0.5, 0.25]))
    array([0. , 0.5])
    """
    return np.asarray(1 - means / means.max())


def choose_for_draw(drawn: SeedValues, recipes: Sequence[Recipe]) -> DrawChoices:
    """Choose among recipes by every rule."""
    kinds: tuple[FeedbackType, ...] = ("explicit", "implicit")
    explicit, implicit = (choose_among(drawn.values, drawn.rated, recipes, kind) for kind in kinds)
    means = part_means(drawn.values)
    return DrawChoices(
        explicit.winner.trial,
        implicit.winner.trial,
        int(means.mean(axis=1).argmax()),
        choose_by_one_standard_error(means, recipes),
        choose_by_one_standard_error(part_means(drawn.folds), recipes),
    )
