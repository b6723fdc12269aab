"""Simulation of racing: figures of clear and of close races."""

import numpy as np

from benchmarks.racing import simulate_racing
from experiments.search.trials import PartScore, Trial
from experiments.search.user_scores import UserScores

N_USERS = 300


def make_search(means: list[float], noise: float) -> tuple[UserScores, list[Trial]]:
    """Return scores on three parts of trials with these mean values; each is a candidate of its own."""
    rng = np.random.default_rng(0)
    users, parts = np.tile(np.arange(N_USERS, dtype=np.int32), 3), np.repeat(np.arange(3), N_USERS)
    ability = rng.normal(0, 0.3, N_USERS)[users]
    values = np.array(means)[:, None] + ability + rng.normal(0, noise, (len(means), len(users)))
    trials = [
        Trial(number, "ease", {"reg": number}, parts=(PartScore({"ndcg": mean}, N_USERS),) * 3)
        for number, mean in enumerate(means)
    ]
    return UserScores(values.astype(np.float32), parts.astype(np.int8), users), trials


def test_clear_losers_need_one_fit_each() -> None:
    figures = simulate_racing(*make_search([0.5, 0.1, 0.2, 0.3], 0.1), n_draws=20)
    assert figures.fit_share == figures.max_fit_share == (3 + 1 + 1 + 1) / 12
    assert (figures.same_winner_share, figures.max_loss) == (1.0, 0.0)
    assert (figures.n_draws, figures.n_trials) == (20, 4)


def test_equal_trials_are_fitted_on_all_parts_and_little_is_lost() -> None:
    figures = simulate_racing(*make_search([0.5] * 4, 0.2), n_draws=50)
    assert figures.fit_share > 0.95
    assert figures.same_winner_share > 0.9
    assert figures.max_loss < 0.05


def test_failed_and_dropped_trials_are_left_out() -> None:
    scores, trials = make_search([0.5, 0.1, 0.9], 0.1)
    scores.ndcg[2] = np.nan
    trials[2] = Trial(2, "ease", {}, failure="no")
    assert simulate_racing(scores, trials, n_draws=5).n_trials == 2
