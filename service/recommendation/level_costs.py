"""Costs of the fallback levels that score items: estimates of how long each takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.recommendation.deadline import Clock, Deadline

SMOOTHING = 0.2  # weight of the newest measurement in the moving average
DECAY_PER_SKIP = 0.9  # lowers the estimate of a skipped level, so that it is tried again eventually


@dataclass
class LevelCosts:
    """Exponential moving averages of the time in seconds that each fallback level takes."""

    seconds: dict[str, float] = field(default_factory=dict)

    def admit(self, level: str, deadline: Deadline) -> bool:
        """Return True if the level is expected to finish in time; otherwise lower its estimate."""
        expected = self.seconds.get(level, 0.0)
        if deadline.remaining() > expected:
            return True
        self.seconds[level] = DECAY_PER_SKIP * expected
        return False

    @contextmanager
    def measure(self, level: str, clock: Clock) -> Iterator[None]:
        """Add the duration of the `with` block to the average of a level."""
        start = clock()
        yield
        duration = clock() - start
        average = self.seconds.get(level)
        self.seconds[level] = duration if average is None else average + SMOOTHING * (duration - average)
