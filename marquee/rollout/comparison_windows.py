"""Comparison windows: periods in which each user is counted afresh.

A canary may break after an hour, when nearly all users have already been counted. Windows of a minute, ten
minutes and an hour are therefore tested in addition to the whole rollout. A user counts once in each window,
and each window has its own tests (`marquee.rollout.alarms`). Windows do not test for sample-ratio mismatch:
whether users return is itself an outcome.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from marquee.events import Exposure
from marquee.rollout.accumulator import SHORTEST_WINDOW, EvidenceAccumulator
from marquee.rollout.arms import CANARY, STABLE, ValuesByArm, values_by_arm
from marquee.rollout.list_metrics import ListMetricCalculator


class ComparisonWindow:
    """The current window of one timescale; `flush` passes its counts to an accumulator.

    A new window starts with the first event after the end of the current one and whenever the allocation
    changes. A late event counts in the current window.
    """

    def __init__(
        self, accumulator: EvidenceAccumulator, timescale: int, popularity: Mapping[str, float]
    ) -> None:
        """Start without a window; the first event starts one.

        Args:
            accumulator: receives the counts.
            timescale: index into the accumulator's timescales.
            popularity: each item's share of all ratings; empty if unknown.
        """
        self._accumulator = accumulator
        self._timescale = timescale
        self._length_s = accumulator.timescales_s[timescale]
        self._list_metrics = ListMetricCalculator(popularity)
        self._number, self._allocation = -1, -1.0  # less than those of any window
        self._users = set[str]()
        self._affected: dict[str, set[str]] = defaultdict(set)  # users by guardrail metric
        self._clear_pending()

    def _clear_pending(self) -> None:
        self._pending_events: dict[str, Counter[str]] = defaultdict(Counter)  # by metric and arm
        self._pending_values: dict[str, ValuesByArm] = defaultdict(values_by_arm)

    def record_exposure(
        self, user: str, arm: str, exposure: Exposure, allocation: float, *, canary_available: bool
    ) -> None:
        """Add a list shown to a user; its metrics count only while the canary is available."""
        if not self._move_to(exposure.time, allocation) or user in self._users:
            return
        self._users.add(user)
        if canary_available:
            for metric, value in self._list_metrics.measure_next_list(arm, exposure.items).items():
                self._pending_values[metric][arm].append(value)

    def record_guardrail_event(
        self, metric: str, user: str, arm: str, time: float, allocation: float
    ) -> None:
        """Add an event of a guardrail metric, unless the user already had one in this window."""
        if self._move_to(time, allocation) and user not in self._affected[metric]:
            self._affected[metric].add(user)
            self._pending_events[metric][arm] += 1

    def flush(self) -> None:
        """Pass everything recorded since the last call to the accumulator."""
        for metric, arms in self._pending_events.items():
            self._accumulator.record_affected_users(
                metric, arms[CANARY], arms.total(), self._allocation, self._timescale
            )
        for metric, values in self._pending_values.items():
            self._accumulator.record_list_metric(
                metric,
                np.array(values[CANARY]),
                np.array(values[STABLE]),
                self._allocation,
                self._timescale,
            )
        self._clear_pending()

    def _move_to(self, time: float, allocation: float) -> bool:
        """Start a new window if `time` or `allocation` requires it.

        Returns:
            False if the event belongs to a previous step and must not count.
        """
        if allocation < self._allocation:
            return False
        number = int(time // self._length_s)
        if number <= self._number and allocation == self._allocation:
            return True
        self.flush()
        if self._users or self._affected:
            self._end_window()
        self._number, self._allocation = number, allocation
        self._users.clear()
        self._affected.clear()
        return True

    def _end_window(self) -> None:
        if self._timescale == SHORTEST_WINDOW:
            affected = {metric: len(users) for metric, users in self._affected.items()}
            if self._allocation == 1:
                self._accumulator.compare_minute_with_baseline(len(self._users), affected)
            else:
                self._accumulator.add_minute_to_baseline(len(self._users), affected)
        self._accumulator.start_window(self._timescale)
