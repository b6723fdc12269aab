"""Deadline of a request."""

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True)
class Deadline:
    """Time by which a response is due."""

    due: float  # reading of `clock`, in seconds
    clock: Clock = time.perf_counter

    @classmethod
    def after(cls, seconds: float, start: float, clock: Clock = time.perf_counter) -> "Deadline":
        """Create a deadline `seconds` after `start`, which is a reading of `clock`."""
        return cls(start + seconds, clock)

    def remaining(self) -> float:
        """Return the seconds left; negative if the deadline has passed."""
        return self.due - self.clock()


NO_DEADLINE = Deadline(float("inf"))
