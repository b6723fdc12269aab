"""Waiting for a condition in tests."""

from collections.abc import Callable

import pytest

from service.stack import waiting


def wait_until(
    condition: Callable[[], object],
    seconds: float = 10,
    explain: Callable[[], str] = str,
    poll_interval_s: float = 0.05,
) -> None:
    """Poll a condition until it is true; fail the test if that takes too long.

    Args:
        condition: called repeatedly until its result is true.
        seconds: time after which the test fails.
        explain: called on failure; its result is added to the message.
        poll_interval_s: seconds between two calls of `condition`.
    """
    if not waiting.wait_until(lambda: bool(condition()), seconds, poll_interval_s=poll_interval_s):
        pytest.fail(f"condition not met within {seconds} s\n{explain()}")
