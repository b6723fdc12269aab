"""params.yaml's block of the canary as the policy that decisions are taken by."""

import math
from typing import Any

from experiments.config.online import Canary
from marquee.rollout.cohort import Cohort
from marquee.rollout.decision import Action
from marquee.rollout.evidence import Comparison
from marquee.rollout.policy import Policy

MINUTE, HOUR = 60.0, 3600.0


def policy_of(canary: Canary) -> Policy:
    """In seconds, and without what is no decision's."""
    return Policy(
        steps=canary.steps,
        aim=canary.aim,
        margin=canary.margin,
        alpha=canary.alpha,
        guardrail_alpha=canary.guardrail_alpha,
        tolerance=canary.tolerance.model_dump(),
        step_seconds=canary.step_minutes * MINUTE,
        step_users=canary.step_users,
        quality_users=canary.quality_users,
        drift_users=canary.drift_users,
        stale_seconds=canary.stale_seconds,
        unhealthy_seconds=canary.unhealthy_seconds,
        max_restarts=canary.max_restarts,
        deadline_seconds=canary.deadline_hours * HOUR,
        at_deadline=Action(canary.at_deadline),
    )


def told_of(canary: Canary) -> dict[str, Any]:
    """The block as the journal keeps it: a rollout ends by the parameters that it began with."""
    return canary.model_dump(mode="json")


def canary_of(told: dict[str, Any]) -> Canary:
    """The block that the journal kept."""
    return Canary.model_validate(told)


def cohort_of(canary: Canary, comparison: Comparison, popularity: dict[str, float]) -> Cohort:
    """Nobody yet."""
    most = math.inf if canary.max_outcome is None else canary.max_outcome
    return Cohort(comparison, canary.objective, canary.window_minutes * MINUTE, most, popularity)
