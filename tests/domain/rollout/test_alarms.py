"""Alarms over comparison windows: one error rate for all windows together; late effects are detected."""

import numpy as np
import pytest

from marquee.rollout.alarms import MeanAlarm, ShareAlarm

N_WINDOWS, N_AFFECTED, USERS_PER_BATCH, ALLOCATION, ALPHA = 40, 60, 10, 0.25, 0.05
WINDOW = 1  # timescale of the comparison windows; 0 is the whole rollout


@pytest.mark.slow
def test_same_users_affected_in_every_window_raise_no_alarm() -> None:
    """The arms of sixty users are drawn once, and all have an event in each window.

    A naive test that counts events instead of users raises false alarms.
    """
    rng, false_alarms, naive_alarms = np.random.default_rng(0), 0, 0
    for _ in range(300):
        alarm, naive = ShareAlarm(ALPHA, 2), ShareAlarm(ALPHA, 1)
        in_canary = rng.random(N_AFFECTED) < ALLOCATION
        alarm.update(int(in_canary.sum()), N_AFFECTED, ALLOCATION)
        for _ in range(N_WINDOWS):
            for arms in rng.permutation(in_canary).reshape(-1, USERS_PER_BATCH):
                alarm.update(int(arms.sum()), USERS_PER_BATCH, ALLOCATION, WINDOW)
                naive.update(int(arms.sum()), USERS_PER_BATCH, ALLOCATION)
            alarm.start_window(WINDOW)
        false_alarms += alarm.result.is_alarm
        naive_alarms += naive.result.is_alarm
    assert false_alarms <= 300 * ALPHA
    assert naive_alarms > 5 * false_alarms


@pytest.mark.parametrize("n_quiet", [0, 10, 100, 1000])
def test_late_effect_is_detected_in_its_first_window(n_quiet: int) -> None:
    alarm = ShareAlarm(0.001, 2, 1.5)
    for _ in range(n_quiet):
        alarm.update(5, 20, ALLOCATION, WINDOW)
        alarm.start_window(WINDOW)
    assert alarm.result.p > 0.05
    for _ in range(60):
        alarm.update(1, 1, ALLOCATION, WINDOW)
    assert alarm.result.is_alarm
    assert (alarm.result.canary, alarm.result.total) == (60, 60), "the counts must be those of the window"
    alarm.start_window(WINDOW)
    assert alarm.result.is_alarm, "an alarm must persist"


def test_more_returning_users_in_canary_raise_no_alarm() -> None:
    """The canary has a fifth more users in each window; an event is equally likely for all users."""
    alarm = ShareAlarm(ALPHA, 2)
    for _ in range(100):
        alarm.update(60, 210, 0.25, WINDOW)
        alarm.start_window(WINDOW)
    assert not alarm.result.is_alarm


def test_late_increase_of_list_metric_raises_lasting_alarm() -> None:
    rng = np.random.default_rng(0)
    alarm = MeanAlarm(0.001, 2, max_increase=0.2, min_users=100)
    for window in range(50):
        canary, stable = 0.15 + 0.1 * rng.standard_normal((2, 500))
        alarm.update(canary, stable, ALLOCATION, WINDOW)
        if window == 0:
            alarm.update(canary, stable, ALLOCATION)
        alarm.start_window(WINDOW)
    assert not alarm.result.is_alarm
    alarm.update(np.ones(200), 0.15 + 0.1 * rng.standard_normal(500), ALLOCATION, WINDOW)
    assert alarm.result.is_alarm
    alarm.start_window(WINDOW)
    assert alarm.result.is_alarm
    assert alarm.result.difference.low > 0.2
    assert alarm.result.users == (500, 500)
