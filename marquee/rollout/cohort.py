"""The users of a rollout: who is new, what happened to them, and what they did in their time.

    events ──► Cohort ──► a user once ──► Comparison ──► Evidence

A user enters with the first list of a step and stays one window; what came of the lists in it is the user's
outcome. At the next step, who was in stable is drawn anew: as the weight grows from w to w', a share
(w' - w) / (1 - w) of them moves to the canary, so they enter again, with that weight. Who is in the canary
stays there, tells nothing new, and does not enter again. A window that a change of weights falls into has no
outcome, and what happens within moments of one is left out: two gateways do not change at the same instant.
Nobody enters while the canary is away, for stable answers its users then.
"""

import math
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Literal

from marquee.events import Exposure, Feedback
from marquee.rollout.batch import Batch
from marquee.rollout.epochs import Epoch, ListFigures
from marquee.rollout.evidence import Comparison

Objective = Literal["click_through", "watch_minutes", "rating"]
ARMS = ("stable", "canary")
BATCH = 50  # outcomes that are compared at once
PERSONAL = frozenset({"personal", "live", "folded"})
SETTLING_S = 1.0  # before a change of weights, and after it
LAG_S = 5.0  # exposures are synced in groups: feedback waits so long for the list that it answers


@dataclass(frozen=True)
class Failure:
    """A request that a gateway saw fail or be slow."""

    time: float  # UTC seconds
    arm: str
    user: str  # or whatever tells users apart
    kind: Literal["errors", "slow"]


@dataclass(slots=True)
class _Visit:
    """A user's window, while it is open."""

    canary: bool
    since: float
    weight: float  # that the arm was drawn by
    broken: bool = False  # answered by the other arm meanwhile
    lists: int = 0
    # There may be a million of these, and most users do nothing.
    shown: tuple[tuple[str, ...], ...] = ()
    clicked: set[str] | None = None
    rated: dict[str, float] | None = None
    watched: dict[str, float] | None = None  # minutes by event


class Cohort:
    """Feeds a comparison from events, in the order in which they are read."""

    def __init__(
        self,
        comparison: Comparison,
        objective: Objective,
        window_s: float,
        most: float = math.inf,
        popularity: Mapping[str, float] | None = None,
        *,
        sticky: bool = True,
    ) -> None:
        """Begin with nobody.

        Args:
            comparison: where users are counted.
            objective: what an outcome is.
            window_s: a user's time, in seconds.
            most: an outcome above it counts as this much, so one user cannot decide.
            popularity: share of the ratings by item, of the stable model; an unknown item has none. Without
                it nothing is known of that drift.
            sticky: a user stays in an arm; where each request is drawn anew, the first list alone counts.
        """
        self._comparison = comparison
        self._objective = objective
        self._window_s = window_s
        self._most = most
        self._figures = ListFigures(popularity or {})
        self._epochs = [
            Epoch(comparison, scale, popularity or {}) for scale in range(1, len(comparison.scales_s))
        ]
        self._sticky = sticky
        self._weights: list[tuple[float, float]] = []  # by step: since when it is wanted, and the weight
        self._steered: list[float] = []  # by step: since when the gateways obey
        self._known: dict[str, tuple[int, bool]] = {}  # by user: step last seen in, and whether in the canary
        self._visits: dict[str, _Visit] = {}
        self._waiting: deque[tuple[str, _Visit]] = deque()  # in the order in which windows began
        self._feedback: list[Feedback] = []  # that waits
        self._happened: dict[str, set[str]] = defaultdict(set)  # by incident: users it happened to
        self._outages: Sequence[tuple[float, float]] = ()
        self._in_step = set[str]()  # users of the canary that were seen in this step
        self.last: dict[str, float] = dict.fromkeys(ARMS, -math.inf)  # by arm: time of the last answer
        self.lists: dict[str, int] = dict.fromkeys(ARMS, 0)  # by arm

    def weigh(self, time: float, weight: float) -> None:
        """From that time on so large a share of users should be in the canary; a new step begins."""
        self._weights.append((time, weight))
        self._in_step = set[str]()
        self._comparison.begin_step()

    def steer(self, time: float) -> None:
        """From that time on it is so at every gateway."""
        self._steered.append(time)

    def leave_out(self, outages: Sequence[tuple[float, float]]) -> None:
        """When the canary was away, or may have been: from, until; ascending, and apart."""
        self._outages = outages

    def take(
        self,
        exposures: Iterable[Exposure],
        feedback: Iterable[Feedback],
        failures: Iterable[Failure],
        now: float,
    ) -> None:
        """Events that were read since the last time, and the time.

        They are taken as they happened, in small batches: whoever reads a whole rollout at once, after a
        restart, finds what was found piece by piece.
        """
        self._feedback.extend(feedback)
        due = [event for event in self._feedback if event.time + LAG_S <= now]
        self._feedback = [event for event in self._feedback if event.time + LAG_S > now]
        happened: list[tuple[float, int, Exposure | Feedback | Failure]] = [
            *((event.time, 0, event) for event in exposures),
            *((event.time, 1, event) for event in failures),
            *((event.time + LAG_S, 2, event) for event in due),
        ]
        happened.sort(key=lambda each: each[:2])
        batch = Batch()
        for time, _, event in happened:
            self._close(time, batch)
            match event:
                case Exposure():
                    self._expose(event, batch)
                case Failure():
                    self._happen(event.kind, event.user, event.arm == "canary", event.time, batch)
                case Feedback():
                    self._credit(event)
            if batch.closed >= BATCH:
                batch.count(self._comparison)
                batch = Batch()
        self._close(now, batch)
        batch.count(self._comparison)
        for epoch in self._epochs:
            epoch.tell()

    def ages(self, now: float) -> dict[str, float]:
        """By arm, seconds since its last answer."""
        return {arm: now - last for arm, last in self.last.items()}

    def _step(self, time: float) -> int | None:
        """The step then; None before the rollout and around a change of weights."""
        step = bisect_right(self._weights, (time, math.inf)) - 1
        if not 0 <= step < len(self._steered) or time < self._steered[step] + SETTLING_S:
            return None
        if step + 1 < len(self._weights) and time > self._weights[step + 1][0] - SETTLING_S:
            return None
        return step

    def _expose(self, exposure: Exposure, batch: Batch) -> None:
        user, canary, step = exposure.user, exposure.arm == "canary", self._step(exposure.time)
        if self._weights and exposure.time >= self._weights[0][0] and exposure.arm in self.last:
            self.last[exposure.arm] = max(self.last[exposure.arm], exposure.time)
            self.lists[exposure.arm] += 1
        if step is None or user is None:
            return
        there = not self._away(exposure.time, exposure.time)
        for epoch in self._epochs:
            epoch.seen(user, canary, exposure.items, exposure.time, self._weights[step][1], there)
        if canary and there and step == len(self._weights) - 1 and user not in self._in_step:
            self._in_step.add(user)
            batch.step_users += 1
        if there:
            before, self._known[user] = self._known.get(user), (step, canary)
            if before is None:
                self._enter(user, exposure, self._weights[step][1], batch)
            elif before[0] < step and not before[1]:
                was, now = self._weights[before[0]][1], self._weights[step][1]
                self._enter(user, exposure, (now - was) / (1 - was), batch)
        visit = self._visits.get(user)
        counts = visit is not None and (self._sticky or not visit.lists)
        if visit is not None and counts and exposure.time < visit.since + self._window_s:
            visit.broken |= canary != visit.canary
            visit.lists += 1
            visit.shown += (tuple(map(intern, exposure.items)),)  # a name once, and not once a user
        if exposure.rung not in PERSONAL:
            self._happen("below_personal", user, canary, exposure.time, batch)
        if not exposure.items:
            self._happen("empty", user, canary, exposure.time, batch)

    def _enter(self, user: str, exposure: Exposure, weight: float, batch: Batch) -> None:
        canary = exposure.arm == "canary"
        visit = self._visits[user] = _Visit(canary, exposure.time, weight)
        self._waiting.append((user, visit))
        batch.users[weight][canary] += 1
        for name, figure in self._figures.of(canary, exposure.items).items():
            batch.lists[name][weight][canary].append(figure)

    def _happen(self, name: str, user: str, canary: bool, time: float, batch: Batch) -> None:
        step = self._step(time)
        if step is None:
            return
        weight = self._weights[step][1]
        for epoch in self._epochs:
            epoch.happened(name, user, canary, time, weight)
        if user not in self._happened[name]:
            self._happened[name].add(user)
            batch.incidents[name][weight][canary] += 1

    def _credit(self, event: Feedback) -> None:
        visit = self._visits.get(event.user)
        if visit is None or not any(event.item in items for items in visit.shown):
            return
        if not visit.since <= event.time < visit.since + self._window_s:
            return
        if event.kind == "click":
            visit.clicked = (visit.clicked or set()) | {event.item}
        elif event.kind == "rating":
            visit.rated = (visit.rated or {}) | {event.item: event.value}
        else:
            visit.watched = (visit.watched or {}) | {event.event_id: event.value}

    def _close(self, now: float, batch: Batch) -> None:
        """Those whose window, and the time that events take to be read, is over."""
        while self._waiting and now >= self._waiting[0][1].since + self._window_s + LAG_S:
            user, visit = self._waiting.popleft()
            if self._visits.get(user) is visit:
                del self._visits[user]
            until = visit.since + self._window_s
            changed = any(visit.since < time <= until for time, _ in self._weights)
            changed |= self._away(visit.since, until)
            outcome = self._outcome(visit)
            if not (visit.broken or changed or outcome is None):
                batch.outcomes[visit.weight][visit.canary].append(min(outcome, self._most))
                batch.closed += 1

    def _away(self, since: float, until: float) -> bool:
        """Whether the canary was away at any time between."""
        last = bisect_right(self._outages, (until, math.inf)) - 1
        return last >= 0 and self._outages[last][1] >= since

    def _outcome(self, visit: _Visit) -> float | None:
        if self._objective == "click_through":
            return min(len(visit.clicked or ()) / visit.lists, 1.0)
        if self._objective == "watch_minutes":
            return math.fsum((visit.watched or {}).values())
        return math.fsum(visit.rated.values()) / len(visit.rated) if visit.rated else None
