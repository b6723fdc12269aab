"""Costs of the fallback levels that score items: estimates of how long each takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.recommendation.deadline import Clock, Deadline

SMOOTHING = 0.2  # weight of the newest measurement in the moving average
DECAY_PER_SKIP = 0.9  # lowers the estimate of a skipped level, so that it is tried again eventually


@dataclass
class LevelCosts:
    """Exponential moving averages of the time in seconds that each fallback level takes.

    Of each two consecutive durations, the shorter one counts. So a single slow call, such as the first one
    after a start, does not make the next requests skip a level that is fast.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)  # duration of the last call of each level

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
        steady = min(duration, self._last.get(level, 0.0))
        self._last[level] = duration
        average = self.seconds.get(level)
        self.seconds[level] = steady if average is None else average + SMOOTHING * (steady - average)
