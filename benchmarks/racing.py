"""Racing by simulation: the share of fits that it needs, and how often it finds the winner of all fits.

A search without racing gives the NDCG of every user, part and trial. Each draw resamples the users with
replacement, runs a race on their values, and compares its winner with that of the whole evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.evaluation.list_evaluation import SAMPLE_SHARE
from experiments.search.racing import mean_over_parts, run_race
from experiments.search.trials import Trial, point_key
from experiments.search.user_scores import UserScores
from marquee.array_types import Float32Array, Int8Array, Int64Array
from marquee.seeds import seed_for


@dataclass(frozen=True)
class RacingFigures:
    """Figures of racing over all draws.

    Attributes:
        fit_share: mean number of fits, as a share of those without racing.
        max_fit_share: the same of the draw with the most fits.
        same_winner_share: share of the draws with the same winner.
        max_loss: largest loss of mean NDCG by another winner, as a share of the best.
        n_draws: number of draws.
        n_trials: number of trials.
    """

    fit_share: float
    max_fit_share: float
    same_winner_share: float
    max_loss: float
    n_draws: int
    n_trials: int


@dataclass(frozen=True)
class _Draw:
    """Values of resampled users by column."""

    values: Float32Array  # (n_trials, n_columns)
    parts: Int8Array
    users: Int64Array


def simulate_racing(
    scores: UserScores, trials: Sequence[Trial], *, n_draws: int = 300, seed: int = 0
) -> RacingFigures:
    """Run races on resampled users.

    Args:
        scores: NDCG of every user and part, from a search without racing.
        trials: trials of that search. Those without lists are left out.
        n_draws: number of draws.
        seed: seed of the draws.
    """
    complete = [trial for trial in trials if trial.has_lists]
    values, columns = scores.ndcg[[trial.number for trial in complete]], _columns_by_user(scores)
    pilots, rng = _choose_pilots(complete), np.random.default_rng(seed)
    n_parts = len(np.unique(scores.part))
    shares, losses = [], []
    for _ in range(n_draws):
        draw = _draw_users(values, scores.part, columns, rng)
        is_sampled = (rng.random(len(columns)) < SAMPLE_SHARE)[draw.users]
        result = run_race(draw.values, draw.parts, draw.users.astype(np.int32), pilots, is_sampled)
        means = mean_over_parts(draw.values, draw.parts)
        shares.append(result.n_fits / (n_parts * len(complete)))
        losses.append(1 - means[result.winner] / means.max())
    return RacingFigures(
        float(np.mean(shares)),
        max(shares),
        float(np.mean(np.array(losses) == 0)),
        float(max(losses)),
        n_draws,
        len(complete),
    )


def _choose_pilots(trials: Sequence[Trial]) -> list[int]:
    """Return the row of one trial of each candidate, chosen by a hash."""
    keys = [point_key(trial.algorithm, trial.parameters) for trial in trials]
    pilots: dict[str, int] = {}
    for row in sorted(range(len(trials)), key=lambda row: seed_for(0, "pilot", keys[row])):
        pilots.setdefault(trials[row].algorithm, row)
    return sorted(pilots.values())


def _columns_by_user(scores: UserScores) -> list[Int64Array]:
    """Return the columns of each user."""
    order = np.argsort(scores.user, kind="stable")
    starts = np.flatnonzero(np.diff(scores.user[order], prepend=-1))
    return np.split(order, starts[1:])


def _draw_users(
    values: Float32Array, parts: Int8Array, columns: Sequence[Int64Array], rng: np.random.Generator
) -> _Draw:
    """Draw as many users as there are, with replacement; a user that is drawn twice counts as two."""
    drawn = rng.integers(0, len(columns), len(columns))
    selected = np.concatenate([columns[user] for user in drawn])
    users = np.repeat(np.arange(len(drawn)), [len(columns[user]) for user in drawn])
    return _Draw(values[:, selected], parts[selected], users)
