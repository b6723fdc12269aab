"""ObservationCollector: from events to users, each counted once.

    exposures, feedback, failures ─► ObservationCollector ─► PendingObservations ─► EvidenceAccumulator

A user enters the comparison with the first list of a step and stays for one attribution window. What the user
does with the lists of that window is the user's outcome. When the allocation grows from w to w', each user in
stable moves to the canary with probability (w' - w) / (1 - w), so all users of stable enter again, with that
probability as their allocation. Users of the canary stay there, carry no new information and do not enter
again.

The following are excluded:

- events close to a change of the allocation, since the gateways do not change at the same instant;
- users who would enter during an outage of the canary, when stable serves the canary's users;
- outcomes of windows that overlap an outage or a change of the allocation, or in which the user switched
  arms.
"""

import math
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Literal, NamedTuple

import numpy as np

from marquee.events import Event, Exposure, Feedback
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.arms import ARMS, CANARY, STABLE, ValuesByArm, values_by_arm
from marquee.rollout.comparison_windows import ComparisonWindow
from marquee.rollout.list_metrics import ListMetricCalculator
from marquee.rollout.state import AllocationChange, Outage

Objective = Literal["click_through", "watch_minutes", "rating"]
OUTCOMES_PER_BATCH = 50  # passed to the accumulator together
PERSONAL_LEVELS = frozenset({"personal", "live", "folded"})
TRANSITION_MARGIN_S = 1.0  # excluded before and after a change of the allocation
FEEDBACK_DELAY_S = 5.0  # feedback waits this long for its exposure, since exposures are written in batches


@dataclass(frozen=True)
class Failure:
    """A request that failed or was slow, as seen by a gateway."""

    time: float  # UTC seconds
    arm: str
    user: str  # user id, or its hash
    kind: Literal["errors", "slow"]


@dataclass(slots=True)
class _AttributionWindow:
    """A user's open attribution window. Kept small: a million may be open, most without feedback."""

    arm: str
    start: float
    allocation: float  # probability with which the user was assigned to the canary
    switched_arms: bool = False
    n_lists: int = 0
    lists: tuple[tuple[str, ...], ...] = ()
    clicked_items: set[str] | None = None
    ratings: dict[str, float] | None = None  # by item
    watch_minutes: dict[str, float] | None = None  # by event id


class _Assignment(NamedTuple):
    """Step and arm in which a user was last seen."""

    step: int
    arm: str


# Named functions rather than lambdas, because a checkpoint pickles the collector.
def _counts_by_allocation() -> dict[float, Counter[str]]:
    return defaultdict(Counter)


def _values_by_allocation() -> dict[float, ValuesByArm]:
    return defaultdict(values_by_arm)


@dataclass
class PendingObservations:
    """Observations that are not in the accumulator yet, by allocation and arm."""

    users: dict[float, Counter[str]] = field(default_factory=_counts_by_allocation)
    guardrail_events: dict[str, dict[float, Counter[str]]] = field(
        default_factory=lambda: defaultdict(_counts_by_allocation)
    )
    list_metrics: dict[str, dict[float, ValuesByArm]] = field(
        default_factory=lambda: defaultdict(_values_by_allocation)
    )
    outcomes: dict[float, ValuesByArm] = field(default_factory=_values_by_allocation)
    step_users: int = 0
    n_outcomes: int = 0

    def flush_to(self, accumulator: EvidenceAccumulator) -> None:
        """Pass everything to an accumulator."""
        accumulator.record_canary_users_of_step(self.step_users)
        for allocation, arms in self.users.items():
            accumulator.record_entering_users(arms[CANARY], arms.total(), allocation)
        for metric, counts in self.guardrail_events.items():
            for allocation, arms in counts.items():
                accumulator.record_affected_users(metric, arms[CANARY], arms.total(), allocation)
        for metric, values in self.list_metrics.items():
            for allocation, by_arm in values.items():
                canary, stable = np.array(by_arm[CANARY]), np.array(by_arm[STABLE])
                accumulator.record_list_metric(metric, canary, stable, allocation)
        for allocation, by_arm in self.outcomes.items():
            accumulator.record_outcomes(np.array(by_arm[CANARY]), np.array(by_arm[STABLE]), allocation)


class ObservationCollector:
    """Users of a rollout; feeds an evidence accumulator from events."""

    def __init__(
        self,
        accumulator: EvidenceAccumulator,
        objective: Objective,
        attribution_window_s: float,
        outcome_cap: float = math.inf,
        popularity: Mapping[str, float] | None = None,
        *,
        sticky: bool = True,
    ) -> None:
        """Start without users.

        Args:
            accumulator: receives the observations.
            objective: unit of outcomes.
            attribution_window_s: seconds after a user's first list in a step in which feedback counts.
            outcome_cap: largest outcome of a user; larger ones are capped, so that no single user dominates.
            popularity: each item's share of all ratings in the stable model, 0 for missing items; without it,
                the popularity of lists is not compared.
            sticky: True if users stay in their arm during a step. If False, the arm is drawn for each request
                and only the first list of a window counts.
        """
        self._accumulator = accumulator
        self._objective = objective
        self._attribution_window_s = attribution_window_s
        self._outcome_cap = outcome_cap
        self._list_metrics = ListMetricCalculator(popularity or {})
        self._comparison_windows = [
            ComparisonWindow(accumulator, timescale, popularity or {})
            for timescale in range(1, len(accumulator.timescales_s))
        ]
        self._sticky = sticky
        self._allocations: list[AllocationChange] = []  # by step
        self._confirmations: list[float] = []  # by step: when all gateways had applied the allocation
        self._assignments: dict[str, _Assignment] = {}  # by user
        self._open_windows: dict[str, _AttributionWindow] = {}  # by user, the latest one
        self._closing_queue: deque[tuple[str, _AttributionWindow]] = deque()  # in order of start
        self._delayed_feedback: list[Feedback] = []
        self._affected: dict[str, set[str]] = defaultdict(set)  # users by guardrail metric
        self._pending = PendingObservations()
        self._outages: Sequence[Outage] = ()
        self._step_users = set[str]()  # canary users with a response in this step
        self._last_responses: dict[str, float] = dict.fromkeys(ARMS, -math.inf)  # times, by arm
        self.list_counts: dict[str, int] = dict.fromkeys(ARMS, 0)  # by arm

    def start_step(self, time: float, allocation: float) -> None:
        """Start a new step at `time` with the given allocation to the canary."""
        self._allocations.append(AllocationChange(time, allocation))
        self._step_users = set[str]()
        self._accumulator.start_step()

    def confirm_allocation(self, time: float) -> None:
        """Mark the current step's allocation as applied by all gateways since `time`."""
        self._confirmations.append(time)

    def exclude_outages(self, outages: Sequence[Outage]) -> None:
        """Set the periods in which the canary was or may have been unavailable, ordered and disjoint."""
        self._outages = outages

    def process_events(
        self,
        exposures: Iterable[Exposure],
        feedback: Iterable[Feedback],
        failures: Iterable[Failure],
        now: float,
    ) -> None:
        """Process events that were read since the last call.

        Events are processed in order of time and in small batches. Reading a whole rollout at once, after a
        restart, therefore gives the same evidence as reading it in parts.
        """
        for time, event in self._in_order(exposures, feedback, failures, now):
            self._close_windows(time)
            match event:
                case Exposure():
                    self._process_exposure(event)
                case Failure():
                    self._record_guardrail_event(event.kind, event.user, _arm(event), event.time)
                case Feedback():
                    self._attribute(event)
            if self._pending.n_outcomes >= OUTCOMES_PER_BATCH:
                self._flush()
        self._close_windows(now)
        self._flush()
        for window in self._comparison_windows:
            window.flush()

    def seconds_since_last_response(self, now: float) -> dict[str, float]:
        """Return the seconds since the last response of each arm, infinite if it has none."""
        return {arm: now - time for arm, time in self._last_responses.items()}

    def _flush(self) -> None:
        self._pending.flush_to(self._accumulator)
        self._pending = PendingObservations()

    def _in_order(
        self,
        exposures: Iterable[Exposure],
        feedback: Iterable[Feedback],
        failures: Iterable[Failure],
        now: float,
    ) -> list[tuple[float, Event | Failure]]:
        """Return events with their processing times, in order; keep feedback that is not due yet."""
        self._delayed_feedback.extend(feedback)
        due = [event for event in self._delayed_feedback if event.time + FEEDBACK_DELAY_S <= now]
        self._delayed_feedback = [
            event for event in self._delayed_feedback if event.time + FEEDBACK_DELAY_S > now
        ]
        events: list[tuple[float, Event | Failure]] = [
            *((event.time, event) for event in exposures),
            *((event.time, event) for event in failures),
            *((event.time + FEEDBACK_DELAY_S, event) for event in due),
        ]
        events.sort(key=lambda timed: timed[0])  # stable: at equal times, exposures come first
        return events

    def _step_at(self, time: float) -> int | None:
        """Return the step at `time`; None before the rollout and around a change of the allocation."""
        step = bisect_right(self._allocations, (time, math.inf)) - 1
        if not 0 <= step < len(self._confirmations):
            return None
        start = self._confirmations[step] + TRANSITION_MARGIN_S
        is_last = step == len(self._allocations) - 1
        end = math.inf if is_last else self._allocations[step + 1].time - TRANSITION_MARGIN_S
        return step if start <= time <= end else None

    def _process_exposure(self, exposure: Exposure) -> None:
        self._record_response(exposure)
        step = self._step_at(exposure.time)
        if step is None or exposure.user is None:
            return
        user, arm, allocation = exposure.user, _arm(exposure), self._allocations[step].allocation
        available = not self._overlaps_outage(exposure.time, exposure.time)
        for window in self._comparison_windows:
            window.record_exposure(user, arm, exposure, allocation, canary_available=available)
        if available:
            self._record_step_user(user, arm, step)
            self._assign(user, arm, step, exposure)
        self._add_to_open_window(user, arm, exposure)
        if exposure.fallback_level not in PERSONAL_LEVELS:
            self._record_guardrail_event("below_personal", user, arm, exposure.time)
        if not exposure.items:
            self._record_guardrail_event("empty", user, arm, exposure.time)

    def _record_response(self, exposure: Exposure) -> None:
        has_started = bool(self._allocations) and exposure.time >= self._allocations[0].time
        if has_started and exposure.arm in self._last_responses:
            latest = max(self._last_responses[exposure.arm], exposure.time)
            self._last_responses[exposure.arm] = latest
            self.list_counts[exposure.arm] += 1

    def _record_step_user(self, user: str, arm: str, step: int) -> None:
        is_current = step == len(self._allocations) - 1
        if is_current and arm == CANARY and user not in self._step_users:
            self._step_users.add(user)
            self._pending.step_users += 1

    def _assign(self, user: str, arm: str, step: int, exposure: Exposure) -> None:
        """Update the user's assignment; new users, and users who were in stable in an earlier step, enter."""
        previous, self._assignments[user] = self._assignments.get(user), _Assignment(step, arm)
        allocation = self._allocations[step].allocation
        if previous is None:
            self._enter(user, arm, exposure, allocation)
        elif previous.step < step and previous.arm == STABLE:
            before = self._allocations[previous.step].allocation
            self._enter(user, arm, exposure, (allocation - before) / (1 - before))

    def _enter(self, user: str, arm: str, exposure: Exposure, allocation: float) -> None:
        window = self._open_windows[user] = _AttributionWindow(arm, exposure.time, allocation)
        self._closing_queue.append((user, window))
        self._pending.users[allocation][arm] += 1
        for metric, value in self._list_metrics.measure_next_list(arm, exposure.items).items():
            self._pending.list_metrics[metric][allocation][arm].append(value)

    def _add_to_open_window(self, user: str, arm: str, exposure: Exposure) -> None:
        window = self._open_windows.get(user)
        if window is None or exposure.time >= window.start + self._attribution_window_s:
            return
        if self._sticky or not window.n_lists:
            window.switched_arms |= arm != window.arm
            window.n_lists += 1
            # Interned, so that an item is one string in memory, not one per list.
            window.lists += (tuple(map(intern, exposure.items)),)

    def _record_guardrail_event(self, metric: str, user: str, arm: str, time: float) -> None:
        step = self._step_at(time)
        if step is None:
            return
        allocation = self._allocations[step].allocation
        for window in self._comparison_windows:
            window.record_guardrail_event(metric, user, arm, time, allocation)
        if user not in self._affected[metric]:
            self._affected[metric].add(user)
            self._pending.guardrail_events[metric][allocation][arm] += 1

    def _attribute(self, event: Feedback) -> None:
        """Credit feedback to the user's open window if its item is in a list of that window."""
        window = self._open_windows.get(event.user)
        if window is None or not any(event.item in items for items in window.lists):
            return
        if not window.start <= event.time < window.start + self._attribution_window_s:
            return
        if event.kind == "click":
            window.clicked_items = (window.clicked_items or set()) | {event.item}
        elif event.kind == "rating":
            window.ratings = (window.ratings or {}) | {event.item: event.value}
        else:
            window.watch_minutes = (window.watch_minutes or {}) | {event.event_id: event.value}

    def _close_windows(self, now: float) -> None:
        """Close windows that have ended and whose feedback has been processed; record their outcomes."""
        delay_s = self._attribution_window_s + FEEDBACK_DELAY_S
        while self._closing_queue and now >= self._closing_queue[0][1].start + delay_s:
            user, window = self._closing_queue.popleft()
            if self._open_windows.get(user) is window:
                del self._open_windows[user]
            outcome = self._outcome(window)
            if outcome is not None and self._is_undisturbed(window):
                self._pending.outcomes[window.allocation][window.arm].append(min(outcome, self._outcome_cap))
                self._pending.n_outcomes += 1

    def _is_undisturbed(self, window: _AttributionWindow) -> bool:
        """Return True if one arm served the user throughout the window."""
        end = window.start + self._attribution_window_s
        reallocated = any(window.start < change.time <= end for change in self._allocations)
        return not (window.switched_arms or reallocated or self._overlaps_outage(window.start, end))

    def _overlaps_outage(self, start: float, end: float) -> bool:
        """Return True if the canary was or may have been unavailable at any time from start to end."""
        last = bisect_right(self._outages, (end, math.inf)) - 1
        return last >= 0 and self._outages[last].end >= start

    def _outcome(self, window: _AttributionWindow) -> float | None:
        """Return the outcome in units of the objective; None if the user has none (rated nothing)."""
        if self._objective == "click_through":
            return min(len(window.clicked_items or ()) / window.n_lists, 1.0)
        if self._objective == "watch_minutes":
            return math.fsum((window.watch_minutes or {}).values())
        return math.fsum(window.ratings.values()) / len(window.ratings) if window.ratings else None


def _arm(event: Exposure | Failure) -> str:
    """Return the arm of an event; every arm except the canary counts as stable."""
    return CANARY if event.arm == CANARY else STABLE
