"""Simulation of a rollout with the real tests and policy and with simulated users."""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.canary.simulated_users import N_USERS, UserOutcomes, simulate_outcomes
from experiments.config import load_params
from marquee.array_types import Float64Array
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.arms import PerArm
from marquee.rollout.decision_types import Action, ReasonCode
from marquee.rollout.evidence import GUARDRAIL_METRICS, LIST_METRICS, RolloutConditions
from marquee.rollout.policy import PromotionPolicy, decide
from marquee.rollout.state import OUTCOME_OF_ACTION, RolloutOutcome
from pipelines.rollout.params_conversion import build_policy

# Probability that a user has an event, equal in both arms.
EVENT_RATES = {"errors": 0.002, "slow": 0.02, "below_personal": 0.05, "empty": 0.0}
MIN_STEP_BATCHES = 10
MAX_BATCHES = 200  # a rollout without a decision until then is inconclusive
FRESH_DATA = {"stable": 0.0, "canary": 0.0}  # age of the data, in seconds
Z_95 = 1.959964  # critical value of a two-sided test at 5%
MIN_Z_TEST_LISTS = 30  # per arm


@dataclass(frozen=True)
class SimulatedRollout:
    """Outcome and duration of a simulated rollout."""

    outcome: RolloutOutcome | None  # None: inconclusive
    reason: ReasonCode | None
    n_batches: int
    z_test_rejected: bool  # a z-test for a fixed sample size was significant after any batch


def make_simulation_policy(min_step_seconds: float = MIN_STEP_BATCHES) -> PromotionPolicy:
    """Return the policy of params.yaml with the durations of a simulation: a batch counts as a second."""
    changes = {
        "min_step_minutes": min_step_seconds / 60,
        "deadline_hours": MAX_BATCHES / 3600,
        "at_deadline": "hold",
    }
    return build_policy(load_params().canary.model_copy(update=changes))


def simulate_rollout(
    stable_error: float, canary_error: float, batch_size: int, seed: int
) -> SimulatedRollout:
    """Simulate a rollout in which a decision is made after each batch of users.

    Args:
        stable_error: error of the champion's model, in stars.
        canary_error: error of the challenger's model, in stars.
        batch_size: number of users per batch.
        seed: seed of the simulation.
    """
    rng, policy = np.random.default_rng(seed), make_simulation_policy()
    accumulator, step, step_start = EvidenceAccumulator(policy), 0, 0
    totals, z_test_rejected = np.zeros((2, 2)), False
    for batch in range(1, MAX_BATCHES + 1):
        allocation = policy.steps[step]
        users = rng.integers(0, N_USERS, batch_size)
        in_canary = rng.random(batch_size) < allocation
        outcomes = PerArm(
            stable=simulate_outcomes(users[~in_canary], stable_error, rng),
            canary=simulate_outcomes(users[in_canary], canary_error, rng),
        )
        _record(accumulator, outcomes, allocation, rng)
        totals += [[arm.n_clicked_lists.sum(), arm.n_lists.sum()] for arm in outcomes]
        z_test_rejected |= allocation < 1 and abs(_z_score(totals)) > Z_95
        conditions = RolloutConditions(step, float(batch - step_start), float(batch), FRESH_DATA)
        decision = decide(accumulator.evidence(conditions), policy)
        if decision.action == Action.ADVANCE:
            step, step_start = step + 1, batch
            accumulator.start_step()
        elif decision.action != Action.HOLD:
            outcome = OUTCOME_OF_ACTION[decision.action]
            return SimulatedRollout(outcome, decision.reason, batch, z_test_rejected)
    return SimulatedRollout(None, None, MAX_BATCHES, z_test_rejected)


def _record(
    accumulator: EvidenceAccumulator,
    outcomes: PerArm[UserOutcomes],
    allocation: float,
    rng: np.random.Generator,
) -> None:
    """Record a batch of users; guardrail events and list metrics have the same distribution in both arms."""
    n_stable, n_canary = (len(arm.n_lists) for arm in outcomes)
    accumulator.record_entering_users(n_canary, n_stable + n_canary, allocation)
    accumulator.record_canary_users_of_step(n_canary)
    accumulator.record_outcomes(outcomes.canary.click_through, outcomes.stable.click_through, allocation)
    for metric in GUARDRAIL_METRICS:
        affected = rng.binomial((n_stable, n_canary), EVENT_RATES[metric])
        accumulator.record_affected_users(metric, int(affected[1]), int(affected.sum()), allocation)
    for metric in LIST_METRICS:
        canary, stable = 0.1 * rng.random(n_canary), 0.1 * rng.random(n_stable)
        accumulator.record_list_metric(metric, canary, stable, allocation)


def _z_score(totals: Float64Array) -> float:
    """Return the z-score of the difference in click-through, under the assumption that lists are independent.

    Args:
        totals: numbers of clicked lists and of all lists (columns) in stable and in the canary (rows).
    """
    clicked, lists = totals.T
    if lists.min() < MIN_Z_TEST_LISTS:
        return 0.0
    rates = clicked / lists
    pooled = clicked.sum() / lists.sum()
    standard_error = math.sqrt(pooled * (1 - pooled) * (1 / lists).sum())
    return float((rates[1] - rates[0]) / standard_error) if standard_error else 0.0
