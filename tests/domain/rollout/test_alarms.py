"""Alarms over epochs: one level for all, whoever comes back, and none is missed because it comes late."""

import numpy as np
import pytest

from marquee.rollout.alarms import WatchedMean, WatchedShare

EPOCHS, PRONE, LOOKED_AT, WEIGHT = 40, 60, 10, 0.25


def test_users_to_whom_it_happens_again_and_again_are_no_alarm() -> None:
    """The same sixty users in each epoch, their arms drawn once: counted as events, many would alarm."""
    rng, alpha, false, fooled = np.random.default_rng(0), 0.05, 0, 0
    for _ in range(300):
        watched, naive = WatchedShare(2), WatchedShare(1)
        in_canary = rng.random(PRONE) < WEIGHT
        watched.update(int(in_canary.sum()), PRONE, WEIGHT, 0)
        for _ in range(EPOCHS):
            for arms in rng.permutation(in_canary).reshape(-1, LOOKED_AT):
                watched.update(int(arms.sum()), LOOKED_AT, WEIGHT, 1)
                naive.update(int(arms.sum()), LOOKED_AT, WEIGHT, 0)
            watched.begin_epoch(1)
        false += watched.worst.p <= alpha
        fooled += naive.worst.p <= alpha
    assert false <= 300 * alpha
    assert fooled > 5 * false


@pytest.mark.parametrize("quiet", [0, 10, 100, 1000])
def test_what_begins_late_is_seen_in_the_epoch_in_which_it_begins(quiet: int) -> None:
    watched = WatchedShare(2, 1.5)
    for _ in range(quiet):
        watched.update(5, 20, WEIGHT, 1)
        watched.begin_epoch(1)
    assert watched.worst.p > 0.05
    for _ in range(60):
        watched.update(1, 1, WEIGHT, 1)
    assert watched.worst.p <= 0.001
    assert (watched.worst.canary, watched.worst.total) == (60, 60), "of the epoch, and not of the rollout"
    watched.begin_epoch(1)
    assert watched.worst.p <= 0.001, "an alarm stays one"


def test_that_more_of_them_come_back_is_no_alarm() -> None:
    """A fifth more of the canary's users in each epoch, and the incident as likely for each."""
    watched = WatchedShare(2)
    for _ in range(100):
        watched.update(60, 210, 0.25, 1)
        watched.begin_epoch(1)
    assert watched.worst.p > 0.05


def test_a_drift_that_begins_late_is_seen_too_and_stays() -> None:
    rng = np.random.default_rng(0)
    watched = WatchedMean(2, 0.2, 0.001, 100)
    for epoch in range(50):
        both = 0.15 + 0.1 * rng.standard_normal((2, 500))
        watched.update(both[0], both[1], WEIGHT, 1)
        if not epoch:
            watched.update(both[0], both[1], WEIGHT, 0)
        watched.begin_epoch(1)
    assert not watched.found.alarm
    watched.update(np.ones(200), 0.15 + 0.1 * rng.standard_normal(500), WEIGHT, 1)
    assert watched.found.alarm
    watched.begin_epoch(1)
    assert watched.found.alarm
    assert watched.found.difference.low > 0.2
    assert watched.users == (500, 500)
