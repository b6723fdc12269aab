"""One rollout after the other, through the same comparison and the same decision as the real ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.canary.world import USERS, Outcomes, visit
from experiments.config.offline import load_params
from marquee.rollout.decision import Action, ReasonCode
from marquee.rollout.evidence import Circumstances, Comparison
from marquee.rollout.policy import INCIDENTS, Policy, decide
from marquee.rollout.state import CONCLUSIONS, Outcome
from pipelines.rollout.policy_config import policy_of

BASE = {"errors": 0.002, "slow": 0.02, "below_personal": 0.05, "empty": 0.0}  # of users, in any arm
STEP_BATCHES = 10  # a step lasts so many batches at least
LONGEST = 200  # batches; then the rollout is inconclusive
FRESH = {"stable": 0.0, "canary": 0.0}
Z95 = 1.959964


@dataclass(frozen=True)
class Ended:
    """How a rollout ended."""

    outcome: Outcome | None  # None: inconclusive
    reason: ReasonCode | None
    batches: int
    z_test: bool  # whether a test for a fixed sample, of events, was ever significant on the way


def policy(step_seconds: float = STEP_BATCHES) -> Policy:
    """That of params.yaml, with batches for seconds."""
    canary = load_params().canary
    return policy_of(
        canary.model_copy(
            update={
                "step_minutes": step_seconds / 60,
                "deadline_hours": LONGEST / 3600,
                "at_deadline": "hold",
            }
        )
    )


def simulate(stable: float, canary: float, batch: int, seed: int, *, faults: bool = True) -> Ended:
    """A rollout of a model with one error against one with another; every batch is looked at.

    Args:
        stable: error of the champion, in stars.
        canary: of the challenger.
        batch: users that arrive between two looks.
        seed: of the rollout.
        faults: incidents happen to users of both arms alike.
    """
    rng, rules = np.random.default_rng(seed), policy()
    comparison, step, since = Comparison(rules), 0, 0
    counts, significant = np.zeros((2, 2)), False
    for now in range(1, LONGEST + 1):
        weight = rules.steps[step]
        users = rng.integers(0, USERS, batch)
        arms = rng.random(batch) < weight
        seen = visit(users[~arms], stable, rng), visit(users[arms], canary, rng)
        _feed(comparison, seen, weight, rng, faults=faults)
        counts += [[one.clicks.sum(), one.lists.sum()] for one in seen]
        significant |= weight < 1 and abs(_z(counts)) > Z95
        evidence = comparison.evidence(Circumstances(step, float(now - since), float(now), FRESH))
        decision = decide(evidence, rules)
        if decision.action == Action.ADVANCE:
            step, since = step + 1, now
            comparison.begin_step()
        elif decision.action != Action.HOLD:
            return Ended(CONCLUSIONS[decision.action], decision.reason, now, significant)
    return Ended(None, None, LONGEST, significant)


def _feed(
    comparison: Comparison,
    seen: tuple[Outcomes, Outcomes],
    weight: float,
    rng: np.random.Generator,
    *,
    faults: bool,
) -> None:
    n_stable, n_canary = len(seen[0].lists), len(seen[1].lists)
    comparison.users(n_canary, n_stable + n_canary, weight)
    comparison.answered(n_canary)
    comparison.outcomes(seen[1].clicked, seen[0].clicked, weight)
    for name in INCIDENTS if faults else ():
        hit = rng.binomial((n_stable, n_canary), BASE[name])
        comparison.incident(name, int(hit[1]), int(hit.sum()), weight)
    for name in ("popularity", "overlap"):
        comparison.lists(name, 0.1 * rng.random(n_canary), 0.1 * rng.random(n_stable), weight)


def _z(counts: np.ndarray) -> float:
    """Two proportions of events, as if they were independent and looked at once."""
    clicks, lists = counts.T
    if lists.min() < 30:
        return 0.0
    rate = clicks / lists
    pooled = clicks.sum() / lists.sum()
    spread = math.sqrt(pooled * (1 - pooled) * (1 / lists).sum())
    return float((rate[1] - rate[0]) / spread) if spread else 0.0


def many(number: int, stable: float, canary: float, batch: int, seed: int) -> Iterator[Ended]:
    """Independent rollouts."""
    for each in range(number):
        yield simulate(stable, canary, batch, seed * 1_000_003 + each)
