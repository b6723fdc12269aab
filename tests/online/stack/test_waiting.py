"""Waiting for a state of the stack."""

import time

from service.stack.waiting import wait_until


def test_waiting_ends_as_soon_as_the_condition_holds() -> None:
    polls = iter([False, False, True])
    assert wait_until(lambda: next(polls), 60, every_s=0.001)
    assert next(polls, None) is None


def test_waiting_ends_when_the_time_is_over() -> None:
    began = time.monotonic()
    assert not wait_until(lambda: False, 0.05, every_s=0.01)
    assert 0.05 <= time.monotonic() - began < 5


def test_without_time_the_condition_is_polled_once() -> None:
    polls: list[None] = []
    assert not wait_until(lambda: polls.append(None) is not None, 0, every_s=60)
    assert len(polls) == 1
    assert wait_until(lambda: True, 0)
