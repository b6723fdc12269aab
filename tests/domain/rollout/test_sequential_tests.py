"""Always-valid tests: values computed by hand, and false alarms at most at the stated rate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.rollout.e_process import EVENTS_PER_START, MAX_MIXTURE_COMPONENTS, EProcessMixture
from marquee.rollout.sequential_tests import (
    UNKNOWN_INTERVAL,
    MeanDifference,
    RateIncreaseTest,
    ShareTest,
)


def test_share_test_without_users_has_no_evidence() -> None:
    test = ShareTest()
    test.update(0, 0, 0.1)
    assert test.log_e == pytest.approx(0.0)
    assert test.p == 1.0


def test_users_at_allocations_of_zero_and_one_are_no_evidence() -> None:
    test = ShareTest()
    test.update(50, 50, 1.0)
    test.update(0, 50, 0.0)
    assert test.p == 1.0


def test_evidence_is_mean_of_likelihood_ratios() -> None:
    """One canary user at allocation 1/2 has ratio 2 x, where x = r / (1 + r) is Beta(1/2, 1/2) above 1/2.

    The mean of x is 1/2 + 1/π, so the evidence is 1 + 2/π.
    """
    test = ShareTest()
    test.update(1, 1, 0.5)
    assert math.exp(test.log_e) == pytest.approx(1 + 2 / math.pi, rel=1e-3)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.floats(0.01, 0.99)), max_size=8))
def test_evidence_does_not_depend_on_batches_or_their_order(batches: list[tuple[int, int, float]]) -> None:
    whole, split = ShareTest(1.5), ShareTest(1.5)
    for canary, stable, allocation in batches:
        whole.update(canary, canary + stable, allocation)
    for canary, stable, allocation in reversed(batches):
        split.update(canary, canary, allocation)
        split.update(0, stable, allocation)
    assert whole.log_e == pytest.approx(split.log_e, abs=1e-9)


def test_p_value_never_increases() -> None:
    test = ShareTest()
    test.update(20, 20, 0.1)
    p = test.p
    test.update(0, 5000, 0.1)
    assert test.p == p < 1e-12
    assert test.rejects(1e-6)


def test_only_two_sided_test_rejects_too_small_a_share() -> None:
    one_sided, two_sided = ShareTest(), ShareTest(two_sided=True)
    for test in (one_sided, two_sided):
        test.update(0, 400, 0.1)
    assert one_sided.p == 1.0
    assert two_sided.rejects(1e-9)


def test_share_within_allowed_odds_ratio_raises_no_alarm() -> None:
    """At an allocation of a tenth, three times the odds put a quarter of the affected users in the canary."""
    strict, tolerant = ShareTest(1.0), ShareTest(3.0)
    for test in (strict, tolerant):
        test.update(250, 1000, 0.1)
    assert strict.rejects(1e-9)
    assert not tolerant.rejects(0.05)


@pytest.mark.slow
def test_acceptable_rate_raises_false_alarms_with_probability_at_most_alpha() -> None:
    """A Poisson process has the highest acceptable rate and is tested after each of 200 periods."""
    rng, alpha, false_alarms = np.random.default_rng(5), 0.05, 0
    for _ in range(400):
        test = RateIncreaseTest(1.5)
        for _ in range(200):
            test.update(int(rng.poisson(1.5 * 3)), 3.0)
        false_alarms += test.rejects(alpha)
    assert false_alarms <= 400 * alpha


def test_tripled_rate_is_detected() -> None:
    test = RateIncreaseTest(1.5)
    for _ in range(40):
        test.update(3, 1.0)
    assert test.rejects(0.001)


@pytest.mark.parametrize(("users", "expected", "dispersion"), [(1, -1.0, 1.0), (-1, 1.0, 1.0), (1, 1.0, 0.5)])
def test_impossible_period_is_rejected(users: int, expected: float, dispersion: float) -> None:
    with pytest.raises(ValueError, match="must not be negative and dispersion must be at least 1"):
        RateIncreaseTest(1.5).update(users, expected, dispersion)


@pytest.mark.parametrize("n_quiet", [0, 1_000, 10_000, 50_000])
def test_rate_increase_is_detected_after_any_quiet_time(n_quiet: int) -> None:
    test, users = RateIncreaseTest(2.0), 0
    for _ in range(n_quiet // 10):
        test.update(10, 10.0)
    while not test.rejects(0.001):
        test.update(30, 10.0)
        users += 30
    assert users <= 500


def test_better_canary_raises_no_alarm_after_all_stable_users_had_their_event() -> None:
    """Each user counts once: stable's have their events early, so late events are nearly all the canary's."""
    rng, test = np.random.default_rng(0), ShareTest(1.5)
    rates, unaffected = {"stable": 0.2, "canary": 0.05}, {"stable": 1500, "canary": 1500}
    while sum(unaffected.values()) > 0:
        for arm, rate in rates.items():
            affected = int(rng.binomial(unaffected[arm], rate))
            unaffected[arm] -= affected
            test.update(affected if arm == "canary" else 0, affected, 0.5)
    assert test.p > 0.5


def test_mixture_size_is_bounded_and_weights_add_up_to_one() -> None:
    mixture = EProcessMixture(1)
    for _ in range(2 * MAX_MIXTURE_COMPONENTS):
        mixture.add(np.zeros(1), EVENTS_PER_START)
    assert mixture._log_e_values.shape == (MAX_MIXTURE_COMPONENTS, 1)
    assert mixture.log_e == pytest.approx(0.0, abs=0.01)
    assert mixture.max_log_e <= 1e-12


@pytest.mark.parametrize(("canary", "total"), [(-1, 5), (6, 5)])
def test_inconsistent_counts_are_rejected(canary: int, total: int) -> None:
    with pytest.raises(ValueError, match="canary must be between 0 and total"):
        ShareTest().update(canary, total, 0.1)


@pytest.mark.parametrize("allocation", [-0.1, 1.1, math.nan])
def test_invalid_allocation_is_rejected(allocation: float) -> None:
    with pytest.raises(ValueError, match="allocation must be between 0 and 1"):
        ShareTest().update(1, 5, allocation)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_invalid_ratio_is_rejected(ratio: float) -> None:
    with pytest.raises(ValueError, match="max_odds_ratio must be a positive number"):
        ShareTest(ratio)
    with pytest.raises(ValueError, match="max_rate_ratio must be a positive number"):
        RateIncreaseTest(ratio)


@pytest.mark.slow
def test_identical_arms_raise_false_alarms_with_probability_at_most_alpha() -> None:
    """Both tests are evaluated after each batch of users, at growing allocations."""
    rng, alpha, false_alarms = np.random.default_rng(1), 0.05, 0
    for _ in range(150):
        guardrail, sample_ratio = ShareTest(), ShareTest(two_sided=True)
        for allocation in (0.01, 0.05, 0.25, 0.5):
            for users in rng.poisson(3, 50):
                canary = rng.binomial(users, allocation)
                guardrail.update(canary, users, allocation)
                sample_ratio.update(canary, users, allocation)
        false_alarms += guardrail.rejects(alpha) + sample_ratio.rejects(alpha)
    assert false_alarms <= 2 * 150 * alpha


def test_difference_of_known_means_is_estimated() -> None:
    difference = MeanDifference()
    rng = np.random.default_rng(2)
    for _ in range(200):
        difference.update(rng.normal(3.0, 1.0, 20), rng.normal(2.5, 1.0, 20), 0.5)
    interval = difference.interval(0.05, 100)
    assert interval.estimate == pytest.approx(0.5, abs=0.05)
    assert interval.low < 0.5 < interval.high
    # The interval is wider than one that is valid at a single fixed time, but at most 2.5 times as wide.
    fixed_half_width = 1.96 * math.sqrt(2 / 4000)
    assert fixed_half_width < (interval.high - interval.low) / 2 < 2.5 * fixed_half_width


def test_interval_is_unknown_below_min_users() -> None:
    difference = MeanDifference()
    difference.update(np.ones(99), np.zeros(5000), 0.02)
    assert difference.interval(0.05, 100) == UNKNOWN_INTERVAL
    difference.update(np.ones(1), np.zeros(0), 0.02)
    assert math.isfinite(difference.interval(0.05, 100).low)


def test_interval_is_unknown_if_all_outcomes_are_equal() -> None:
    difference = MeanDifference()
    difference.update(np.zeros(500), np.zeros(500), 0.5)
    assert difference.interval(0.05, 100) == UNKNOWN_INTERVAL


def test_evidence_of_steps_with_different_allocations_adds_up() -> None:
    difference = MeanDifference()
    rng = np.random.default_rng(3)
    for allocation in (0.01, 0.05, 0.25, 0.5):
        for _ in range(50):
            in_canary = rng.random(200) < allocation
            outcomes = rng.exponential(1.0, 200) + 0.3 * in_canary
            difference.update(outcomes[in_canary], outcomes[~in_canary], allocation)
    interval = difference.interval(0.05, 100)
    assert interval.low < 0.3 < interval.high
    assert interval.low > 0


@pytest.mark.parametrize("outcome", [math.nan, math.inf])
def test_outcome_that_is_not_finite_is_rejected(outcome: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        MeanDifference().update(np.array([outcome]), np.zeros(1), 0.5)


@pytest.mark.slow
def test_interval_of_identical_heavy_tailed_arms_excludes_zero_with_probability_at_most_alpha() -> None:
    rng, n_wrong_intervals = np.random.default_rng(4), 0
    for _ in range(150):
        difference, excludes_zero = MeanDifference(), False
        for allocation in (0.05, 0.25, 0.5):
            for _ in range(40):
                in_canary = rng.random(100) < allocation
                outcomes = rng.gamma(0.3, 3.0, 100)
                difference.update(outcomes[in_canary], outcomes[~in_canary], allocation)
                interval = difference.interval(0.05, 500)
                excludes_zero |= interval.low > 0 or interval.high < 0
        n_wrong_intervals += excludes_zero
    assert n_wrong_intervals <= 150 * 0.05
