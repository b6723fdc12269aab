"""Alarms over a whole rollout and over epochs of it: one level, shared among all of them."""

import math
from dataclasses import dataclass

from marquee.arrays import Floats
from marquee.rollout.sequential_tests import UNKNOWN, Interval, MeanDifference, ShareTest

# In epochs users are those who come back, which who likes the canary does more often: by so much it may be.
RETURNING, LEAST_BAND = 1.25, 1.5


class _Shares:
    """How the level is shared: alike among scales, and among the epochs of one as 6 / (pi k)^2, k = 1, 2, ...

    Each test is right by itself, with the users of its own epoch; by the union bound any of them is wrong
    with a probability that is at most the sum of their shares. The first scale is the whole rollout.
    """

    def __init__(self, scales: int) -> None:
        self._numbers = [1] * scales

    def next(self, scale: int) -> None:
        """An epoch begins."""
        self._numbers[scale] += 1

    def of(self, scale: int) -> float:
        """Of the present epoch."""
        among = 1.0 if scale == 0 else 6 / (math.pi * self._numbers[scale]) ** 2
        return among / len(self._numbers)


@dataclass(frozen=True)
class Seen:
    """Users that something happened to, where that is least like chance."""

    canary: int
    total: int
    p: float  # always valid, of all tests together


class WatchedShare:
    """Share tests of one alarm."""

    def __init__(self, scales: int, tolerance: float = 1.0, *, two_sided: bool = False) -> None:
        """Begin without evidence.

        Args:
            scales: of time; the first is the whole rollout.
            tolerance: an odds ratio that is still acceptable.
            two_sided: too seldom is as bad as too often.
        """
        self._tolerance, self._two_sided = tolerance, two_sided
        self._tests = [self._new(scale) for scale in range(scales)]
        self._shares = _Shares(scales)
        self._ended = Seen(0, 0, 1.0)  # the worst of epochs that are over

    def _new(self, scale: int) -> ShareTest:
        band = self._tolerance if scale == 0 else max(LEAST_BAND, RETURNING * self._tolerance)
        return ShareTest(band, two_sided=self._two_sided)

    def update(self, canary: int, total: int, weight: float, scale: int) -> None:
        """Users that something happened to for the first time, in the rollout or in an epoch."""
        self._tests[scale].update(canary, total, weight)

    def begin_epoch(self, scale: int) -> None:
        """Users count anew."""
        self._ended = min(self._ended, self._seen(scale), key=lambda each: each.p)
        self._tests[scale] = self._new(scale)
        self._shares.next(scale)

    def _seen(self, scale: int) -> Seen:
        test = self._tests[scale]
        return Seen(test.canary, test.total, min(1.0, test.p / self._shares.of(scale)))

    @property
    def worst(self) -> Seen:
        """What is least like chance; where nothing is, the whole rollout."""
        return min([*map(self._seen, range(len(self._tests))), self._ended], key=lambda each: each.p)


@dataclass(frozen=True)
class Found:
    """A difference, and whether it is more than is acceptable."""

    difference: Interval
    alarm: bool


class WatchedMean:
    """Differences of means of one alarm."""

    def __init__(self, scales: int, tolerance: float, alpha: float, at_least: int) -> None:
        """Begin without evidence.

        Args:
            scales: of time; the first is the whole rollout.
            tolerance: difference that is still acceptable.
            alpha: that the alarm is false, ever.
            at_least: users of either arm, before a difference is looked at.
        """
        self._tolerance, self._alpha, self._at_least = tolerance, alpha, at_least
        self._tests = [MeanDifference() for _ in range(scales)]
        self._shares = _Shares(scales)
        self._alarm: Interval | None = None  # of an epoch that is over

    def update(self, canary: Floats, stable: Floats, weight: float, scale: int) -> None:
        """Figures of users that enter now, the rollout or an epoch."""
        self._tests[scale].update(canary, stable, weight)

    def begin_epoch(self, scale: int) -> None:
        """Users count anew."""
        ended = self._interval(scale)
        if self._alarm is None and ended.low > self._tolerance:
            self._alarm = ended
        self._tests[scale] = MeanDifference()
        self._shares.next(scale)

    def _interval(self, scale: int) -> Interval:
        # One side of an interval of twice the level is as seldom wrong as that level says.
        level = 2 * self._alpha * self._shares.of(scale)
        found = self._tests[scale].interval(level, self._at_least)
        return found if math.isfinite(found.low) else UNKNOWN

    @property
    def users(self) -> tuple[int, int]:
        """In stable, in the canary, in the whole rollout."""
        stable, canary = self._tests[0].counts.tolist()
        return stable, canary

    @property
    def found(self) -> Found:
        """The difference over the whole rollout, or in an epoch that is an alarm."""
        if self._alarm is not None:
            return Found(self._alarm, alarm=True)
        intervals = [self._interval(scale) for scale in range(len(self._tests))]
        worst = max(intervals, key=lambda each: each.low)
        if worst.low > self._tolerance:
            return Found(worst, alarm=True)
        return Found(intervals[0], alarm=False)
