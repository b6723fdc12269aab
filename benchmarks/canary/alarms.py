"""A challenger that breaks at a moment: seconds until it is off the air.

Requests come at random, by users of whom few ask much and many ask little; every request is seen when the
controller looks next. The delays are those of the stack: looks, and the time until events are on disk.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.canary.rollouts import FRESH, policy
from marquee.comparison import Circumstances, Comparison
from marquee.promotion import decide

TICK_S = 0.5  # between looks of the controller
SYNC_S = 0.5  # until exposures are on disk, at most; failures are written at once
STEER_S = 0.1  # until all gateways obey
POPULATION = 30_000
EXPONENT = 1.0  # of Zipf's law
RATE = 200.0  # requests a second
WARM_S = 30.0  # before it breaks
LONGEST_S = 1800.0
OVERLAP, SPREAD = 0.15, 0.1  # of two lists of different users, and its standard deviation


@dataclass(frozen=True)
class Fault:
    """What a challenger does wrong: the share of requests that each incident happens to, in both arms."""

    name: str
    incident: str
    stable: float
    canary: float
    target_s: float


FAULTS = (
    Fault("errors on 5% of requests", "errors", 0.001, 0.05, 15),
    Fault("200 ms slower", "slow", 0.01, 1.0, 20),
    Fault("empty lists", "empty", 0.0, 1.0, 10),
    Fault("popular items for everybody", "overlap", OVERLAP, 1.0, 600),
)


def seconds_until_off(fault: Fault, weight: float, seed: int) -> float:
    """From the moment at which the challenger breaks; infinite where it stays."""
    rng, rules = np.random.default_rng(seed), policy()
    comparison = Comparison(rules)
    arm_of = rng.random(POPULATION) < weight
    share = 1 / np.arange(1, POPULATION + 1) ** EXPONENT
    cumulated = np.cumsum(share / share.sum())
    known, hit = np.zeros(POPULATION, bool), np.zeros(POPULATION, bool)
    phase = rng.random() * TICK_S
    late = TICK_S + (0 if fault.incident in {"errors", "slow"} else SYNC_S)
    for tick in range(int((WARM_S + LONGEST_S) / TICK_S)):
        time = tick * TICK_S + phase
        broken = time > WARM_S
        users = np.searchsorted(cumulated, rng.random(rng.poisson(RATE * TICK_S)))
        rate = np.where(arm_of[users] & broken, fault.canary, fault.stable)
        if fault.incident == "overlap":
            fresh = np.unique(users[~known[users]])
            arms = arm_of[fresh]
            figures = np.clip(OVERLAP + SPREAD * rng.standard_normal(len(fresh)), 0, 1)
            figures[arms & broken] = 1.0
            comparison.lists("overlap", figures[arms], figures[~arms], weight)
        else:
            happened = users[rng.random(len(users)) < rate]
            fresh = np.unique(happened[~hit[happened]])
            hit[fresh] = True
            comparison.incident(fault.incident, int(arm_of[fresh].sum()), len(fresh), weight)
        known[users] = True
        if decide(comparison.evidence(Circumstances(0, 0.0, time, FRESH)), rules).action == "roll back":
            return time - WARM_S + late + STEER_S if broken else 0.0
    return float("inf")
