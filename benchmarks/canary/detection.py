"""Time to detect a broken challenger: seconds from the failure until no user is in the canary.

Requests arrive at random, and a few users send most of them. Observation collector, tests and policy are the
controller's. The delays are those of the stack: between two evaluations, until events are on disk, and until
the gateways apply an allocation. The time of the failure matters: after an hour, nearly all users have been
counted.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.canary.simulation import FRESH_DATA, make_simulation_policy
from marquee.events import Exposure
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.arms import CANARY, STABLE
from marquee.rollout.decision_types import Action
from marquee.rollout.evidence import RolloutConditions
from marquee.rollout.observation_collector import Failure, ObservationCollector
from marquee.rollout.policy import decide

EVALUATION_S = 0.5  # between two evaluations by the controller
EXPOSURE_DELAY_S = 0.5  # at most, until an exposure is on disk; failures are written at once
SPLIT_DELAY_S = 0.1  # until all gateways have applied an allocation
REQUESTS_PER_S = 200.0
USERS_PER_REQUEST_RATE = 150  # users for each request per second: 30,000
ZIPF_EXPONENT = 1.0
MAX_DETECTION_S = 1800.0
ATTRIBUTION_WINDOW_S = 1800.0
LIST_LENGTH, N_ITEMS, N_LISTS = 10, 67, 997  # two random lists overlap by 10 / 67
ITEMS = tuple(f"i{number}" for number in range(N_ITEMS))
POPULAR_ITEMS = ITEMS[:LIST_LENGTH]
POPULARITY = dict.fromkeys(ITEMS, 1 / N_ITEMS)


@dataclass(frozen=True)
class Behavior:
    """Behavior of a challenger: the share of requests with an event in each arm."""

    name: str
    event: Literal["errors", "slow", "empty", "popular"]
    stable_rate: float
    canary_rate: float
    target_s: float  # target of the time to detection at an allocation of 10%; infinite for healthy ones
    repeat_rate: float = 0.0  # share of the canary's requests that the user repeats


FAULTS = (
    Behavior("errors on 5% of requests", "errors", 0.001, 0.05, 15),
    Behavior("200 ms slower", "slow", 0.01, 1.0, 20),
    Behavior("empty lists", "empty", 0.0, 1.0, 10),
    Behavior("popular items for all users", "popular", 0.0, 1.0, 600),
)
ALLOCATIONS = ((0.1, 1), (0.01, 10))  # each with the factor by which the target time is longer
FAILURE_TIMES_S = ((30.0, 1.0), (600.0, 0.1), (3000.0, 0.02))  # each with the share of runs to simulate
# Behaviors that must raise no alarm, with their allocations.
HEALTHY = (
    (
        Behavior("errors at the allowed odds ratio, 1.5 times stable's 1%", "errors", 0.01, 0.015, math.inf),
        0.1,
    ),
    (Behavior("half of stable's 4% errors", "errors", 0.04, 0.02, math.inf), 0.5),
    (
        Behavior(
            "1% errors in both arms, canary users return 20% more often", "errors", 0.01, 0.01, math.inf, 0.2
        ),
        0.25,
    ),
)
HEALTHY_REQUESTS_PER_S, HEALTHY_S = REQUESTS_PER_S / 10, 3600.0


def raises_alarm(behavior: Behavior, allocation: float, seed: int) -> bool:
    """Simulate an hour in which users return repeatedly; return True if the canary is rolled back."""
    seconds = simulate_seconds_until_rollback(
        behavior, allocation, 0.0, seed, requests_per_s=HEALTHY_REQUESTS_PER_S, max_s=HEALTHY_S
    )
    return seconds < math.inf


def simulate_seconds_until_rollback(
    behavior: Behavior,
    allocation: float,
    failure_s: float,
    seed: int,
    *,
    requests_per_s: float = REQUESTS_PER_S,
    max_s: float = MAX_DETECTION_S,
) -> float:
    """Simulate a rollout whose challenger fails after some time.

    Args:
        behavior: behavior of the challenger after the failure.
        allocation: share of users in the canary.
        failure_s: seconds from the start to the failure.
        seed: seed of the simulation.
        requests_per_s: rate of requests.
        max_s: seconds from the failure to the end of the simulation.

    Returns:
        Seconds from the failure to the rollback: infinite without a rollback, 0 if it precedes the failure.
    """
    rng, policy = np.random.default_rng(seed), make_simulation_policy(min_step_seconds=3600.0)
    accumulator = EvidenceAccumulator(policy)
    collector = ObservationCollector(
        accumulator, "click_through", ATTRIBUTION_WINDOW_S, popularity=POPULARITY
    )
    collector.start_step(-10.0, allocation)
    collector.confirm_allocation(-10.0)
    delay_s = EVALUATION_S + (0 if behavior.event in {"errors", "slow"} else EXPOSURE_DELAY_S)
    phase = float(rng.random()) * EVALUATION_S
    traffic = _Traffic(behavior, allocation, requests_per_s, rng)
    for tick in range(int((failure_s + max_s) / EVALUATION_S)):
        time = tick * EVALUATION_S + phase
        failed = time > failure_s
        exposures, failures = traffic.draw_events(time, failed=failed)
        collector.process_events(exposures, (), failures, time + EVALUATION_S)
        evidence = accumulator.evidence(RolloutConditions(0, 0.0, time, FRESH_DATA))
        if decide(evidence, policy).action == Action.ROLL_BACK:
            return time - failure_s + delay_s + SPLIT_DELAY_S if failed else 0.0
    return math.inf


class _Traffic:
    """Random requests from a fixed population of users."""

    def __init__(
        self, behavior: Behavior, allocation: float, requests_per_s: float, rng: np.random.Generator
    ) -> None:
        self._behavior, self._requests_per_s, self._rng = behavior, requests_per_s, rng
        n_users = round(USERS_PER_REQUEST_RATE * requests_per_s)
        self._in_canary = rng.random(n_users) < allocation
        activity = 1 / np.arange(1, n_users + 1) ** ZIPF_EXPONENT
        self._cumulative_activity = np.cumsum(activity / activity.sum())
        lists = (rng.choice(N_ITEMS, LIST_LENGTH, replace=False) for _ in range(N_LISTS))
        self._lists = [tuple(ITEMS[item] for item in items) for items in lists]

    def draw_events(self, start: float, *, failed: bool) -> tuple[list[Exposure], list[Failure]]:
        """Draw the requests from `start` to the next evaluation, and return their exposures and failures."""
        rng, behavior = self._rng, self._behavior
        n_requests = int(rng.poisson(self._requests_per_s * EVALUATION_S))
        users = np.searchsorted(self._cumulative_activity, rng.random(n_requests))
        repeated = users[self._in_canary[users] & (rng.random(n_requests) < behavior.repeat_rate)]
        users = np.concatenate([users, repeated])
        rates = np.where(self._in_canary[users] & failed, behavior.canary_rate, behavior.stable_rate)
        has_event = rng.random(len(users)) < rates
        times = np.sort(start + EVALUATION_S * rng.random(len(users)))
        exposures, failures = [], []
        for user, time, event in zip(users.tolist(), times.tolist(), has_event.tolist(), strict=True):
            arm = CANARY if self._in_canary[user] else STABLE
            if event and behavior.event == "errors":
                failures.append(Failure(time, arm, f"u{user}", "errors"))
                continue
            if event and behavior.event == "slow":
                failures.append(Failure(time, arm, f"u{user}", "slow"))
            items = self._items(user, event=event)
            exposures.append(Exposure("r", time, f"u{user}", arm, "1", "personal", items, 900))
        return exposures, failures

    def _items(self, user: int, *, event: bool) -> tuple[str, ...]:
        if event and self._behavior.event == "empty":
            return ()
        if event and self._behavior.event == "popular":
            return POPULAR_ITEMS
        return self._lists[user % N_LISTS]
