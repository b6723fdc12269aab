"""Alarm self-test before a rollout: simulates the worst possible canary for each alarm.

It uses the code and the parameters of the rollout, and no stack.
"""

from collections.abc import Iterator

import numpy as np

from marquee.errors import MarqueeError
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.decision_types import Action
from marquee.rollout.evidence import GUARDRAIL_METRICS, LIST_METRICS, RolloutConditions
from marquee.rollout.guardrail_baseline import MIN_MINUTES
from marquee.rollout.policy import PromotionPolicy, decide

MAX_CANARY_USERS = 10_000  # every alarm must go off within this number of users
USERS_PER_BATCH = 10
# List metrics are compared by their means over many users. An alarm that has not gone off after this many
# times `min_list_users` never will.
MAX_LIST_USERS_RATIO = 20
CONDITIONS = RolloutConditions(
    step=0, step_seconds=0.0, rollout_seconds=0.0, data_age_seconds={"stable": 0.0, "canary": 0.0}
)


def run_alarm_self_test(policy: PromotionPolicy) -> Iterator[str]:
    """Test every alarm in the first step, then the alarm of every guardrail metric in the last step.

    Yields:
        A line for each alarm that goes off.

    Raises:
        MarqueeError: an alarm does not go off.
    """
    for name in (*GUARDRAIL_METRICS, *LIST_METRICS, "sample_ratio_mismatch", "quality"):
        n_users = count_users_until_alarm(policy, name)
        if n_users is None:
            raise MarqueeError(
                f"the alarm '{name}' does not go off within {MAX_CANARY_USERS} canary users, even if all "
                "of them are affected; check canary.max_odds_ratio, canary.max_increase and "
                "canary.guardrail_alpha"
            )
        yield f"{_label(name)}: a broken canary is rolled back after {n_users} of its users"
    for name in GUARDRAIL_METRICS:
        n_users = count_users_until_last_step_alarm(policy, name)
        if n_users is None:
            raise MarqueeError(
                f"the alarm '{name}' does not go off in the last step, even if all users are affected; "
                "check canary.max_odds_ratio"
            )
        yield f"{_label(name)}, last step: a broken canary is rolled back after {n_users} users"


def count_users_until_alarm(policy: PromotionPolicy, name: str) -> int | None:
    """Return the number of users after which the worst possible canary is rolled back in the first step.

    Args:
        policy: policy to test.
        name: a guardrail metric, a list metric, `sample_ratio_mismatch` or `quality`.

    Returns:
        Number of canary users, or None if the alarm does not go off.
    """
    accumulator = EvidenceAccumulator(policy)
    max_users = MAX_CANARY_USERS
    if name in LIST_METRICS:
        max_users = min(max_users, MAX_LIST_USERS_RATIO * policy.min_list_users)
    for n_users in range(USERS_PER_BATCH, max_users + 1, USERS_PER_BATCH):
        _record_bad_batch(accumulator, name, policy.steps[0])
        if decide(accumulator.evidence(CONDITIONS), policy).action == Action.ROLL_BACK:
            return n_users
    return None


def _record_bad_batch(accumulator: EvidenceAccumulator, name: str, allocation: float) -> None:
    """Record a batch of affected canary users, with unaffected stable users as the allocation implies."""
    n_canary, n_stable = USERS_PER_BATCH, max(1, round(USERS_PER_BATCH * (1 - allocation) / allocation))
    bad_values = np.linspace(0.9, 1.0, n_canary)
    if name in GUARDRAIL_METRICS:
        accumulator.record_affected_users(name, n_canary, n_canary, allocation)
    elif name == "sample_ratio_mismatch":
        accumulator.record_entering_users(n_canary, n_canary, allocation)
    elif name == "quality":
        accumulator.record_outcomes(-bad_values, np.linspace(0.2, 0.4, n_stable), allocation)
    else:
        accumulator.record_list_metric(name, bad_values, np.zeros(n_stable), allocation)


def count_users_until_last_step_alarm(policy: PromotionPolicy, name: str) -> int | None:
    """Return the number of users after which a guardrail metric's alarm goes off in the last step.

    No users are affected before the last step, and all users are affected in it.

    Returns:
        Number of users, or None if the alarm does not go off.
    """
    accumulator = EvidenceAccumulator(policy)
    for _ in range(MIN_MINUTES):
        accumulator.add_minute_to_baseline(MAX_CANARY_USERS // MIN_MINUTES, {})
    for n_users in range(USERS_PER_BATCH, MAX_CANARY_USERS + 1, USERS_PER_BATCH):
        accumulator.compare_minute_with_baseline(USERS_PER_BATCH, {name: USERS_PER_BATCH})
        if accumulator.evidence(CONDITIONS).guardrails[name].is_alarm:
            return n_users
    return None


def _label(name: str) -> str:
    return name.replace("_", " ")
