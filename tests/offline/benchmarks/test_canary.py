"""Parts of the rollout benchmarks that can be tested without an hour of simulation."""

import numpy as np
import pytest

from benchmarks.canary.__main__ import upper_confidence_bound
from benchmarks.canary.detection import FAULTS, Behavior, simulate_seconds_until_rollback
from benchmarks.canary.power_figure import PowerPoint, draw_power
from benchmarks.canary.simulated_users import compute_click_log_odds, simulate_outcomes
from benchmarks.canary.simulation import simulate_rollout
from benchmarks.chaos import RequestStats
from marquee.rollout.decision_types import ReasonCode
from marquee.rollout.state import RolloutOutcome


def test_upper_bound_matches_closed_form() -> None:
    """Without an error in n runs, the bound is 1 - 0.05^(1/n)."""
    assert upper_confidence_bound(0, 2000) == pytest.approx(1 - 0.05 ** (1 / 2000))
    assert upper_confidence_bound(3, 3) == 1.0


def test_lists_of_less_accurate_models_are_clicked_less() -> None:
    means = [compute_click_log_odds(error).mean() for error in (0.2, 0.5, 1.0)]
    assert means == sorted(means, reverse=True)
    assert len(set(means)) == 3


def test_simulated_users_differ_in_number_of_lists() -> None:
    outcomes = simulate_outcomes(np.zeros(20_000, dtype=np.int64), 0.5, np.random.default_rng(0))
    assert np.median(outcomes.n_lists) == 1
    assert outcomes.n_lists.max() > 50
    assert (outcomes.n_clicked_lists <= outcomes.n_lists).all()


def test_simulated_rollout_is_reproducible_and_ends_correctly() -> None:
    better = simulate_rollout(0.5, 0.1, 300, 1)
    assert better.outcome == RolloutOutcome.PROMOTED
    assert better == simulate_rollout(0.5, 0.1, 300, 1)
    worse = simulate_rollout(0.5, 1.0, 300, 1)
    assert (worse.outcome, worse.reason) == (RolloutOutcome.ROLLED_BACK, ReasonCode.QUALITY_WORSE)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.event)
def test_every_fault_causes_a_rollback(fault: Behavior) -> None:
    assert 0 < simulate_seconds_until_rollback(fault, 0.1, 5.0, 1) < 120


def test_power_figure_omits_duration_of_undecided_rollouts() -> None:
    figure = draw_power([PowerPoint(0.1, 1.0, 0.0, 9000.0), PowerPoint(0.0, 0.0, 0.0, None)], 0.4, 0.05)
    above, below = figure.axes
    assert [len(np.asarray(line.get_xdata())) for line in above.get_lines()[:2]] == [2, 2]
    assert len(np.asarray(below.get_lines()[0].get_xdata())) == 1


def test_request_stats_count_all_requests() -> None:
    assert RequestStats([0.1, 0.2], 1, 0).n_requests == 2
