"""Alarms: the tests of one metric over the whole rollout and over comparison windows, at one error rate."""

import math

from marquee.array_types import Float64Array
from marquee.rollout.evidence import GuardrailCounts, ListMetricDifference
from marquee.rollout.guardrail_baseline import BaselineRate
from marquee.rollout.sequential_tests import (
    UNKNOWN_INTERVAL,
    ConfidenceInterval,
    MeanDifference,
    RateIncreaseTest,
    ShareTest,
)

WHOLE_ROLLOUT = 0  # timescale; higher numbers are comparison windows
# Most users in a window are returning users, and users who like the canary return more often. Windows
# therefore allow an odds ratio that is higher by this factor, and never less than the minimum.
WINDOW_FACTOR, MIN_WINDOW_ODDS_RATIO = 1.25, 1.5


class _AlphaSpending:
    """Division of an alarm's error rate: an equal share per timescale, 6 / (π k)² of it for the k-th window.

    The shares add up to at most 1. Each test is valid for the users of its own window, so by the union bound
    the probability that any of them ever raises a false alarm is at most the alarm's error rate. The bound
    holds although the tests depend on each other through users who are in several windows.
    """

    def __init__(self, n_timescales: int) -> None:
        self._window_numbers = [1] * n_timescales

    def start_window(self, timescale: int) -> None:
        self._window_numbers[timescale] += 1

    def share(self, timescale: int) -> float:
        """Return the share of the current window; the share of the whole rollout is not divided further."""
        among_windows = 1.0
        if timescale != WHOLE_ROLLOUT:
            among_windows = 6 / (math.pi * self._window_numbers[timescale]) ** 2
        return among_windows / len(self._window_numbers)


class ShareAlarm:
    """Share tests of one metric on all timescales."""

    def __init__(
        self, alpha: float, n_timescales: int, max_odds_ratio: float = 1.0, *, two_sided: bool = False
    ) -> None:
        """Start without evidence.

        Args:
            alpha: probability of ever raising a false alarm.
            n_timescales: number of timescales, including the whole rollout.
            max_odds_ratio: largest acceptable odds ratio.
            two_sided: also raise an alarm if the share of the canary is too small.
        """
        self._alpha, self._max_odds_ratio, self._two_sided = alpha, max_odds_ratio, two_sided
        self._tests = [self._new_test(timescale) for timescale in range(n_timescales)]
        self._spending = _AlphaSpending(n_timescales)
        self._strongest_ended = GuardrailCounts(0, 0, 1.0, is_alarm=False)  # of all ended windows

    def _new_test(self, timescale: int) -> ShareTest:
        ratio = self._max_odds_ratio
        if timescale != WHOLE_ROLLOUT:
            ratio = max(MIN_WINDOW_ODDS_RATIO, WINDOW_FACTOR * ratio)
        return ShareTest(ratio, two_sided=self._two_sided)

    def update(self, canary: int, total: int, allocation: float, timescale: int = WHOLE_ROLLOUT) -> None:
        """Add users with their first event in the rollout or in the current window of a timescale."""
        self._tests[timescale].update(canary, total, allocation)

    def start_window(self, timescale: int) -> None:
        """End the current window of a timescale and count users afresh."""
        self._strongest_ended = _strongest(self._strongest_ended, self._counts(timescale))
        self._tests[timescale] = self._new_test(timescale)
        self._spending.start_window(timescale)

    def _counts(self, timescale: int) -> GuardrailCounts:
        test = self._tests[timescale]
        p = min(1.0, test.p / self._spending.share(timescale))
        return GuardrailCounts(test.canary, test.total, p, is_alarm=p <= self._alpha)

    @property
    def result(self) -> GuardrailCounts:
        """Counts with the strongest evidence; those of the whole rollout if all are equally strong.

        The always-valid p-value is corrected for the number of tests.
        """
        return _strongest(*map(self._counts, range(len(self._tests))), self._strongest_ended)


def _strongest(*counts: GuardrailCounts) -> GuardrailCounts:
    return min(counts, key=lambda each: each.p)


class GuardrailAlarm:
    """Alarm of one guardrail metric: compares canary and stable or, in the last step, canary and baseline."""

    def __init__(self, alpha: float, n_timescales: int, max_odds_ratio: float) -> None:
        """Start without evidence.

        Args:
            alpha: probability of ever raising a false alarm while there are two arms.
            n_timescales: number of timescales, including the whole rollout.
            max_odds_ratio: largest acceptable odds ratio to stable, and largest rate ratio to the baseline.
        """
        self._alpha = alpha
        self._against_stable = ShareAlarm(alpha, n_timescales, max_odds_ratio)
        self._baseline = BaselineRate()
        self._against_baseline = RateIncreaseTest(max_odds_ratio)

    def update(self, canary: int, total: int, allocation: float, timescale: int) -> None:
        """Add users with their first event in the rollout or in the current window of a timescale."""
        self._against_stable.update(canary, total, allocation, timescale)

    def start_window(self, timescale: int) -> None:
        """End the current window of a timescale and count users afresh."""
        self._against_stable.start_window(timescale)

    def add_minute_to_baseline(self, affected: int, users: int) -> None:
        """Add a minute with two arms to the baseline."""
        self._baseline.add_minute(affected, users)

    def compare_minute_with_baseline(self, affected: int, users: int) -> None:
        """Compare a minute in which all users are in the canary with the baseline, if it is known."""
        if self._baseline.is_known:
            users = max(users, affected)  # users without any response are not among `users`
            self._against_baseline.update(
                affected, users * self._baseline.rate_upper_bound, self._baseline.dispersion
            )

    @property
    def result(self) -> GuardrailCounts:
        """Counts of the comparison with the baseline if it raised an alarm, else of that with stable."""
        test = self._against_baseline
        if test.rejects(self._alpha):
            return GuardrailCounts(test.users, test.users, test.p, is_alarm=True)
        return self._against_stable.result


class MeanAlarm:
    """Confidence sequences for the difference of one list metric, on all timescales."""

    def __init__(self, alpha: float, n_timescales: int, max_increase: float, min_users: int) -> None:
        """Start without evidence.

        Args:
            alpha: probability of ever raising a false alarm.
            n_timescales: number of timescales, including the whole rollout.
            max_increase: largest acceptable difference, canary minus stable.
            min_users: users needed in each arm before a difference is evaluated.
        """
        self._alpha, self._max_increase, self._min_users = alpha, max_increase, min_users
        self._tests = [MeanDifference() for _ in range(n_timescales)]
        self._spending = _AlphaSpending(n_timescales)
        self._alarm: ConfidenceInterval | None = None  # of the first window that ended with an alarm

    def update(
        self,
        canary: Float64Array,
        stable: Float64Array,
        allocation: float,
        timescale: int = WHOLE_ROLLOUT,
    ) -> None:
        """Add the values of users who enter the rollout or the current window of a timescale now."""
        self._tests[timescale].update(canary, stable, allocation)

    def start_window(self, timescale: int) -> None:
        """End the current window of a timescale and count users afresh."""
        ended = self._interval(timescale)
        if self._alarm is None and ended.low > self._max_increase:
            self._alarm = ended
        self._tests[timescale] = MeanDifference()
        self._spending.start_window(timescale)

    def _interval(self, timescale: int) -> ConfidenceInterval:
        # Only the lower bound is used, so a two-sided interval may have twice the error rate.
        alpha = 2 * self._alpha * self._spending.share(timescale)
        interval = self._tests[timescale].interval(alpha, self._min_users)
        return interval if math.isfinite(interval.low) else UNKNOWN_INTERVAL

    @property
    def result(self) -> ListMetricDifference:
        """The difference that raised an alarm, else the difference over the whole rollout."""
        users = self._tests[WHOLE_ROLLOUT].users
        if self._alarm is not None:
            return ListMetricDifference(self._alarm, is_alarm=True, users=users)
        intervals = [self._interval(timescale) for timescale in range(len(self._tests))]
        highest = max(intervals, key=lambda each: each.low)
        if highest.low > self._max_increase:
            return ListMetricDifference(highest, is_alarm=True, users=users)
        return ListMetricDifference(intervals[WHOLE_ROLLOUT], is_alarm=False, users=users)
