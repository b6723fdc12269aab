"""A challenger that breaks at a moment: seconds until it is off the air.

Requests come at random, by users of whom few ask much and many ask little; cohort, comparison and decision
are the controller's. The delays are those of the stack: looks, and the time until events are on disk.
What matters is when it breaks: after an hour nearly all users are known.
"""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.canary.rollouts import FRESH, policy
from marquee.events import Exposure
from marquee.rollout.cohort import Cohort, Failure
from marquee.rollout.decision import Action
from marquee.rollout.evidence import Circumstances, Comparison
from marquee.rollout.policy import decide

TICK_S = 0.5  # between looks of the controller
SYNC_S = 0.5  # until exposures are on disk, at most; failures are written at once
STEER_S = 0.1  # until all gateways obey
EACH = 150  # users for each request a second: 30,000
EXPONENT = 1.0  # of Zipf's law
RATE = 200.0  # requests a second
LONGEST_S = 1800.0
WINDOW_S = 1800.0
LISTED, POOL, LISTS = 10, 67, 997  # two lists have a share of 10 / 67 in common
ITEMS = tuple(f"i{number}" for number in range(POOL))
POPULAR = ITEMS[:LISTED]
POPULARITY = dict.fromkeys(ITEMS, 1 / POOL)


@dataclass(frozen=True)
class Fault:
    """What a challenger does wrong: the share of requests that it happens to, in stable and in the canary."""

    name: str
    kind: str  # errors, slow, empty, popular
    stable: float
    canary: float
    target_s: float
    again: float = 0.0  # share of the canary's requests that lead to another one


FAULTS = (
    Fault("errors on 5% of requests", "errors", 0.001, 0.05, 15),
    Fault("200 ms slower", "slow", 0.01, 1.0, 20),
    Fault("empty lists", "empty", 0.0, 1.0, 10),
    Fault("popular items for everybody", "popular", 0.0, 1.0, 600),
)


# What is no fault: a canary that is just as bad as is tolerated, one that is better, and one that users like.
SOUND = (
    (Fault("errors as often as is tolerated, 1.5 times stable's 1%", "errors", 0.01, 0.015, math.inf), 0.1),
    (Fault("half of stable's 4% errors", "errors", 0.04, 0.02, math.inf), 0.5),
    (
        Fault("1% errors as in stable, and users come back a fifth more often", "errors", 0.01, 0.01, 0, 0.2),
        0.25,
    ),
)
SOUND_S = 3600.0
MOMENTS = ((30.0, 1.0), (600.0, 0.1), (3000.0, 0.02))  # when it breaks, in seconds, and a share of the runs


def called_broken(fault: Fault, weight: float, seed: int) -> bool:
    """Whether a canary is rolled back within an hour, its users coming again and again."""
    return seconds_until_off(fault, weight, 0.0, seed, RATE / 10, SOUND_S) < math.inf


def seconds_until_off(  # noqa: PLR0917 - a line of a table
    fault: Fault, weight: float, breaks_s: float, seed: int, rate: float = RATE, longest_s: float = LONGEST_S
) -> float:
    """From the moment at which the challenger breaks; infinite where it stays, 0 where it was off before.

    Args:
        fault: what it does then.
        weight: share of users in the canary.
        breaks_s: after so long.
        seed: of the run.
        rate: requests a second.
        longest_s: that it is looked at.
    """
    rng, rules = np.random.default_rng(seed), policy(step_seconds=3600.0)
    comparison = Comparison(rules)
    users = Cohort(comparison, "click_through", WINDOW_S, popularity=POPULARITY)
    users.weigh(-10.0, weight)
    users.steer(-10.0)
    late = TICK_S + (0 if fault.kind in {"errors", "slow"} else SYNC_S)
    phase = float(rng.random()) * TICK_S
    site = _Site(fault, weight, rate, rng)
    for tick in range(int((breaks_s + longest_s) / TICK_S)):
        time = tick * TICK_S + phase
        broken = time > breaks_s
        shown, failed = site.requests(time, broken=broken)
        users.take(shown, (), failed, time + TICK_S)
        if decide(comparison.evidence(Circumstances(0, 0.0, time, FRESH)), rules).action == Action.ROLL_BACK:
            return time - breaks_s + late + STEER_S if broken else 0.0
    return math.inf


class _Site:
    """Users, and what they ask for."""

    def __init__(self, fault: Fault, weight: float, rate: float, rng: np.random.Generator) -> None:
        self._fault, self._rate, self._rng = fault, rate, rng
        population = round(EACH * rate)
        self._in_canary = rng.random(population) < weight
        share = 1 / np.arange(1, population + 1) ** EXPONENT
        self._cumulated = np.cumsum(share / share.sum())
        drawn = (rng.choice(POOL, LISTED, replace=False) for _ in range(LISTS))
        self._lists = [tuple(ITEMS[item] for item in items) for items in drawn]

    def requests(self, time: float, *, broken: bool) -> tuple[list[Exposure], list[Failure]]:
        """Those of one tick, from then on."""
        rng, fault = self._rng, self._fault
        number = int(rng.poisson(self._rate * TICK_S))
        users = np.searchsorted(self._cumulated, rng.random(number))
        again = users[self._in_canary[users] & (rng.random(number) < fault.again)]
        users, number = np.concatenate([users, again]), number + len(again)
        rate = np.where(self._in_canary[users] & broken, fault.canary, fault.stable)
        hit, times = rng.random(number) < rate, np.sort(time + TICK_S * rng.random(number))
        shown, failed = [], []
        for user, at, is_hit in zip(users.tolist(), times.tolist(), hit.tolist(), strict=True):
            arm, name = ("canary" if self._in_canary[user] else "stable"), f"u{user}"
            if is_hit and fault.kind in {"errors", "slow"}:
                failed.append(Failure(at, arm, name, "errors" if fault.kind == "errors" else "slow"))
            if not (is_hit and fault.kind == "errors"):
                items = self._lists[user % LISTS]
                items = {"empty": (), "popular": POPULAR}.get(fault.kind, items) if is_hit else items
                shown.append(Exposure("r", at, name, arm, "1", "personal", items, 900))
        return shown, failed
