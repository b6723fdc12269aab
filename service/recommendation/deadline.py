"""The time that a request has, and what each rung was seen to need: what would come too late is left out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Clock = Callable[[], float]
WEIGHT = 0.2  # of the newest measurement
FORGET = 0.9  # of an estimate each time a rung is left out, so that it is tried again


@dataclass(frozen=True)
class Deadline:
    """When an answer is due."""

    at: float  # on the clock
    clock: Clock = time.perf_counter

    @classmethod
    def after(cls, seconds: float, began: float, clock: Clock = time.perf_counter) -> "Deadline":
        """Due so many seconds after the request began."""
        return cls(began + seconds, clock)

    def left(self) -> float:
        """Seconds; negative where it is over."""
        return self.at - self.clock()


NEVER = Deadline(float("inf"))


@dataclass
class Costs:
    """Seconds that each rung needs, a running mean of what was measured."""

    seconds: dict[str, float] = field(default_factory=dict)

    def fits(self, rung: str, deadline: Deadline) -> bool:
        """Whether a rung is likely to answer in time."""
        expected = self.seconds.get(rung, 0.0)
        if deadline.left() > expected:
            return True
        self.seconds[rung] = FORGET * expected
        return False

    @contextmanager
    def measured(self, rung: str, clock: Clock) -> Iterator[None]:
        """Note what the work inside took."""
        began = clock()
        yield
        before = self.seconds.get(rung)
        took = clock() - began
        self.seconds[rung] = took if before is None else before + WEIGHT * (took - before)
