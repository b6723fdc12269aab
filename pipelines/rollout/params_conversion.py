"""Conversion of the `canary` block of params.yaml: to a policy, a collector, and journal fields and back."""

import math
from collections.abc import Mapping
from typing import Any

from experiments.config.online import CanaryParams
from marquee.errors import ConfigError, one_line_message
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.decision_types import Action
from marquee.rollout.observation_collector import ObservationCollector
from marquee.rollout.policy import PromotionPolicy

SECONDS_PER_MINUTE, SECONDS_PER_HOUR = 60.0, 3600.0


def build_policy(params: CanaryParams) -> PromotionPolicy:
    """Return the promotion policy; its durations are in seconds."""
    return PromotionPolicy(
        steps=params.steps,
        hypothesis=params.hypothesis,
        non_inferiority_margin=params.non_inferiority_margin,
        alpha=params.alpha,
        guardrail_alpha=params.guardrail_alpha,
        max_odds_ratio=params.max_odds_ratio.model_dump(),
        max_increase=params.max_increase.model_dump(),
        min_step_seconds=params.min_step_minutes * SECONDS_PER_MINUTE,
        min_step_users=params.min_step_users,
        min_quality_users=params.min_quality_users,
        min_list_users=params.min_list_users,
        stale_seconds=params.stale_seconds,
        unhealthy_seconds=params.unhealthy_seconds,
        max_restarts=params.max_restarts,
        deadline_seconds=params.deadline_hours * SECONDS_PER_HOUR,
        at_deadline=Action(params.at_deadline),
    )


def build_empty_collector(
    params: CanaryParams, accumulator: EvidenceAccumulator, popularity: Mapping[str, float]
) -> ObservationCollector:
    """Return a collector without users.

    Args:
        params: parameters of the rollout.
        accumulator: receives the observations.
        popularity: share of all ratings by item.
    """
    outcome_cap = math.inf if params.outcome_cap is None else params.outcome_cap
    window_s = params.attribution_window_minutes * SECONDS_PER_MINUTE
    return ObservationCollector(accumulator, params.objective, window_s, outcome_cap, popularity)


def dump_canary_params(params: CanaryParams) -> dict[str, Any]:
    """Return the parameters as JSON values for the journal.

    A rollout keeps the parameters that it started with, even if params.yaml changes.
    """
    return params.model_dump(mode="json")


def parse_canary_params(tree: Mapping[str, Any]) -> CanaryParams:
    """Return the parameters from their JSON values in a journal.

    Raises:
        ConfigError: the values are invalid.
    """
    try:
        return CanaryParams.model_validate(dict(tree))
    except ValueError as error:
        raise ConfigError(
            f"the rollout's journal contains invalid parameters: {one_line_message(error)}"
        ) from None
