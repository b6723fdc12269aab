"""Polling of a condition with a timeout."""

import time

from service.stack.waiting import wait_until


def test_wait_ends_when_the_condition_holds() -> None:
    polls = iter([False, False, True])
    assert wait_until(lambda: next(polls), 60, poll_interval_s=0.001)
    assert next(polls, None) is None


def test_wait_ends_after_the_timeout() -> None:
    start = time.monotonic()
    assert not wait_until(lambda: False, 0.05, poll_interval_s=0.01)
    assert 0.05 <= time.monotonic() - start < 5


def test_condition_is_polled_once_with_timeout_0() -> None:
    polls = iter([False, True])
    assert not wait_until(lambda: next(polls), 0, poll_interval_s=60)
    assert next(polls)
    assert wait_until(lambda: True, 0)
