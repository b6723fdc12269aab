"""Polling of a condition with a timeout."""

import time
from collections.abc import Callable

POLL_INTERVAL_S = 0.1


def wait_until(
    condition: Callable[[], bool], timeout_s: float, *, poll_interval_s: float = POLL_INTERVAL_S
) -> bool:
    """Poll a condition until it holds.

    Args:
        condition: returns True when waiting should end.
        timeout_s: seconds after which to give up; the condition is polled at least once.
        poll_interval_s: seconds between two polls.

    Returns:
        True if the condition holds, or False if it did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_interval_s)
    return True
