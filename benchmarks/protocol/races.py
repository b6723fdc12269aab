"""Racing in simulation: how many fits it saves, and how often it has the same winner as the whole evaluation.

users of MovieLens 100K ─ drawn with replacement ─► values of all recipes on three parts
                                                     ├─ race ──────────────► winner, fits
                                                     └─ all fits ──────────► best mean
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.protocol.choice_loss import N_SEEDS, load_cuts
from benchmarks.protocol.recipes import FULL_GRID, Recipe
from benchmarks.protocol.user_values import N_PARTS, collect_values, prepare_values
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.user_intervals import UserValues
from experiments.search.racing import RaceResult, run_race
from marquee.seeds import rng_for

N_DRAWS = 300
SAMPLE_SHARE = 0.25  # of the users, whose lists are evaluated first
MAX_FITS, MIN_SAME_WINNER = 0.55, 0.99


def measure_races(share: float) -> ResultRow:
    """Measure the share of fits of a race, and how often it has the winner of the whole evaluation."""
    n_seeds = max(1, round(N_SEEDS * share))
    n_draws = max(1, round(N_DRAWS * share) // n_seeds)  # per seed
    fits, is_same, losses = [], [], []
    for seed in range(n_seeds):
        values = _load_values(seed)
        for draw in range(n_draws):
            drawn = draw_users(values, rng_for(SEED, "race", seed, draw))
            means = [drawn.mean(model) for model in range(drawn.n_models)]
            race = race_recipes(drawn, FULL_GRID)
            fits.append(race.n_fits / (N_PARTS * drawn.n_models))
            is_same.append(race.winner == int(np.argmax(means)))
            losses.append(1 - means[race.winner] / max(means))
    is_reached = np.mean(fits) <= MAX_FITS and np.mean(is_same) >= MIN_SAME_WINNER
    note = (
        f"target {MAX_FITS:.0%} with the same winner in {MIN_SAME_WINNER:.0%} "
        f"{format_check_mark(bool(is_reached))}; same winner in {np.mean(is_same):.1%}, highest loss "
        f"{max(losses):.2%}; {len(FULL_GRID)} recipes"
    )
    return ResultRow("racing", 100 * float(np.mean(fits)), "% of the fits", len(fits), note)


def race_recipes(values: UserValues, recipes: Sequence[Recipe]) -> RaceResult:
    """Race recipes; the first one of each algorithm runs ahead of the others."""
    algorithms = [recipe.algorithm for recipe in recipes]
    pilots = [algorithms.index(name) for name in dict.fromkeys(algorithms)]
    is_sampled = values.users < SAMPLE_SHARE * (values.users.max() + 1)  # drawn users are in random order
    return run_race(values.values, values.parts, values.users, pilots, is_sampled)


def draw_users(values: UserValues, rng: np.random.Generator) -> UserValues:
    """Return the values of as many users, drawn with replacement; each draw counts as another user."""
    order = np.argsort(values.users, kind="stable")  # columns by user
    _, starts, counts = np.unique(values.users[order], return_index=True, return_counts=True)
    drawn = rng.integers(0, len(starts), len(starts))
    columns = np.concatenate([order[starts[user] : starts[user] + counts[user]] for user in drawn])
    numbers = np.repeat(np.arange(len(drawn), dtype=np.int32), counts[drawn])
    return UserValues(values.values[:, columns], values.parts[columns], numbers)


def _load_values(seed: int) -> UserValues:
    cuts = load_cuts(seed)
    prepare_values(cuts.parts, FULL_GRID)
    return collect_values(cuts.parts, FULL_GRID)
