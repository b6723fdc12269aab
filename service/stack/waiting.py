"""Waiting for a process of the stack to come to a state."""

import time
from collections.abc import Callable

EVERY_S = 0.1


def wait_until(condition: Callable[[], bool], timeout_s: float, *, every_s: float = EVERY_S) -> bool:
    """Poll a condition until it holds.

    Args:
        condition: what has to become true.
        timeout_s: seconds after which to stop; the condition is polled at least once.
        every_s: seconds between two polls.

    Returns:
        True, or False if the condition did not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True
