"""Always-valid tests: worked by hand, and never fooled more often than they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.rollout.e_process import EVERY, MOST, Mixture
from marquee.rollout.sequential_tests import UNKNOWN, MeanDifference, ShareTest, SurgeTest


def test_without_users_there_is_no_evidence() -> None:
    test = ShareTest()
    test.update(0, 0, 0.1)
    assert (test.log_e, test.p) == (pytest.approx(0.0), 1.0)


def test_where_everybody_is_in_one_arm_nothing_is_learned() -> None:
    test = ShareTest()
    test.update(50, 50, 1.0)
    test.update(0, 50, 0.0)
    assert test.p == 1.0


def test_the_evidence_is_the_mean_of_likelihood_ratios() -> None:
    """One user in the canary at one half: the ratio is 2 x, and x = r / (1 + r) Beta(1/2, 1/2) above 1/2.

    Its mean there is 1/2 + 1/pi, so the evidence is 1 + 2/pi.
    """
    test = ShareTest()
    test.update(1, 1, 0.5)
    assert math.exp(test.log_e) == pytest.approx(1 + 2 / math.pi, rel=1e-3)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.floats(0.01, 0.99)), max_size=8))
def test_batches_may_be_split_and_put_in_any_order(batches: list[tuple[int, int, float]]) -> None:
    whole, split = ShareTest(1.5), ShareTest(1.5)
    for canary, stable, weight in batches:
        whole.update(canary, canary + stable, weight)
    for canary, stable, weight in reversed(batches):
        split.update(canary, canary, weight)
        split.update(0, stable, weight)
    assert whole.log_e == pytest.approx(split.log_e, abs=1e-9)


def test_evidence_that_was_there_once_stays_evidence() -> None:
    test = ShareTest()
    test.update(20, 20, 0.1)
    p = test.p
    test.update(0, 5000, 0.1)
    assert test.p == p < 1e-12
    assert test.rejects(1e-6)


def test_too_few_is_no_alarm_but_a_mismatch() -> None:
    incidents, mismatch = ShareTest(), ShareTest(two_sided=True)
    for test in (incidents, mismatch):
        test.update(0, 400, 0.1)
    assert incidents.p == 1.0
    assert mismatch.rejects(1e-9)


def test_what_is_tolerated_is_no_alarm() -> None:
    """Three times the odds at a tenth: a quarter of them is in the canary, not a tenth."""
    strict, tolerant = ShareTest(1.0), ShareTest(3.0)
    for test in (strict, tolerant):
        test.update(250, 1000, 0.1)
    assert strict.rejects(1e-9)
    assert not tolerant.rejects(0.05)


def test_a_surge_is_an_alarm_at_most_as_often_as_alpha_though_one_looks_all_the_time() -> None:
    """A Poisson process at the tolerated rate, looked at 200 times."""
    rng, alpha, false = np.random.default_rng(5), 0.05, 0
    for _ in range(400):
        test = SurgeTest(1.5)
        for _ in range(200):
            test.update(int(rng.poisson(1.5 * 3)), 3.0)
        false += test.rejects(alpha)
    assert false <= 400 * alpha


def test_a_surge_of_thrice_the_rate_is_soon_seen() -> None:
    test = SurgeTest(1.5)
    for _ in range(40):
        test.update(3, 1.0)
    assert test.rejects(0.001)
    with pytest.raises(ValueError, match="cannot be"):
        test.update(1, -1.0)
    with pytest.raises(ValueError, match="tolerance"):
        SurgeTest(0.0)


@pytest.mark.parametrize("before", [0, 1_000, 10_000, 50_000])
def test_a_surge_is_seen_however_long_it_was_quiet(before: int) -> None:
    surge, users = SurgeTest(2.0), 0
    for _ in range(before // 10):
        surge.update(10, 10.0)
    while not surge.rejects(0.001):
        surge.update(30, 10.0)
        users += 30
    assert users <= 500


def test_where_the_canary_is_better_those_who_are_left_are_no_alarm() -> None:
    """Each user counts once: stable's have soon had it all, and late ones are nearly all in the canary."""
    rng, test, left = np.random.default_rng(0), ShareTest(1.5), {True: 1500, False: 1500}
    while sum(left.values()) > 0:
        for canary, rate in ((False, 0.2), (True, 0.05)):
            hit = int(rng.binomial(left[canary], rate))
            left[canary] -= hit
            test.update(hit if canary else 0, hit, 0.5)
    assert test.p > 0.5


def test_beginnings_are_bounded_and_their_shares_are_of_one_whole() -> None:
    mixture = Mixture(1)
    for _ in range(2 * MOST):
        mixture.add(np.zeros(1), EVERY)
    assert mixture._logs.shape == (MOST, 1)
    assert mixture.log_e == pytest.approx(0.0, abs=0.01)
    assert mixture.most <= 1e-12


@pytest.mark.parametrize(
    ("canary", "total", "weight"), [(-1, 5, 0.1), (6, 5, 0.1), (1, 5, -0.1), (1, 5, math.nan)]
)
def test_counts_that_cannot_be_are_refused(canary: int, total: int, weight: float) -> None:
    with pytest.raises(ValueError, match=r"cannot be|takes a share"):
        ShareTest().update(canary, total, weight)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.inf, math.nan])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        ShareTest(tolerance)


def test_identical_arms_alarm_at_most_as_often_as_alpha_though_one_looks_all_the_time() -> None:
    rng, alpha, alarms = np.random.default_rng(1), 0.05, 0
    for _ in range(150):
        test, mismatch = ShareTest(), ShareTest(two_sided=True)
        for weight in (0.01, 0.05, 0.25, 0.5):
            for users in rng.poisson(3, 50):
                canary = rng.binomial(users, weight)
                test.update(canary, users, weight)
                mismatch.update(canary, users, weight)
        alarms += test.rejects(alpha) + mismatch.rejects(alpha)
    assert alarms <= 2 * 150 * alpha


def test_two_arms_of_known_outcomes_differ_by_what_they_differ() -> None:
    found = MeanDifference()
    rng = np.random.default_rng(2)
    for _ in range(200):
        found.update(rng.normal(3.0, 1.0, 20), rng.normal(2.5, 1.0, 20), 0.5)
    interval = found.interval(0.05, 100)
    assert interval.estimate == pytest.approx(0.5, abs=0.05)
    assert interval.low < 0.5 < interval.high
    # A sequence that holds at all times is wider than an interval that holds at one, by not too much.
    fixed = 1.96 * math.sqrt(2 / 4000)
    assert fixed < (interval.high - interval.low) / 2 < 2.5 * fixed


def test_before_enough_users_have_entered_nothing_is_known() -> None:
    found = MeanDifference()
    found.update(np.ones(99), np.zeros(5000), 0.02)
    assert found.interval(0.05, 100) == UNKNOWN
    found.update(np.ones(1), np.zeros(0), 0.02)
    assert math.isfinite(found.interval(0.05, 100).low)


def test_outcomes_that_are_all_the_same_say_nothing_of_their_spread() -> None:
    found = MeanDifference()
    found.update(np.zeros(500), np.zeros(500), 0.5)
    assert found.interval(0.05, 100) == UNKNOWN


def test_steps_of_different_weights_add_up() -> None:
    found = MeanDifference()
    rng = np.random.default_rng(3)
    for weight in (0.01, 0.05, 0.25, 0.5):
        for _ in range(50):
            arms = rng.random(200) < weight
            outcomes = rng.exponential(1.0, 200) + 0.3 * arms
            found.update(outcomes[arms], outcomes[~arms], weight)
    interval = found.interval(0.05, 100)
    assert interval.low < 0.3 < interval.high
    assert interval.low > 0


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_an_outcome_that_is_no_number_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        MeanDifference().update(np.array([wrong]), np.zeros(1), 0.5)


def test_identical_heavy_tailed_arms_are_told_apart_at_most_as_often_as_alpha() -> None:
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(150):
        found, told = MeanDifference(), False
        for weight in (0.05, 0.25, 0.5):
            for _ in range(40):
                arms = rng.random(100) < weight
                outcomes = rng.gamma(0.3, 3.0, 100)
                found.update(outcomes[arms], outcomes[~arms], weight)
                interval = found.interval(0.05, 500)
                told |= interval.low > 0 or interval.high < 0
        wrong += told
    assert wrong <= 150 * 0.05
