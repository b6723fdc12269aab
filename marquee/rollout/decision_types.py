"""Types of a rollout decision: an action with a reason code, a message and the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """Action that a decision calls for."""

    HOLD = "hold"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"


class ReasonCode(StrEnum):
    """Reason for a decision. Scripts should compare the code; messages are for people and may be reworded.

    The values are stored in journals, the status file and MLflow. Never change or reuse a value.
    """

    # Guardrails and other proof that the canary is bad: roll back.
    ERROR_RATE = "error_rate"
    LATENCY = "latency"
    FALLBACK_RATE = "fallback_rate"  # lists that are not personalized
    EMPTY_LISTS = "empty_lists"
    LIST_POPULARITY = "list_popularity"
    LIST_OVERLAP = "list_overlap"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    CRASH_LOOP = "crash_loop"
    NO_HEALTHY_REPLICA = "no_healthy_replica"
    QUALITY_WORSE = "quality_worse"
    # Missing evidence: hold.
    METRIC_FAILED = "metric_failed"
    CATCHING_UP = "catching_up"  # a backlog of events is still being read
    GATEWAY_UNRESPONSIVE = "gateway_unresponsive"
    CANARY_OUTAGE = "canary_outage"
    METRIC_NOT_A_NUMBER = "metric_not_a_number"
    NO_DATA = "no_data"
    STALE_DATA = "stale_data"
    STEP_TOO_SHORT = "step_too_short"
    TOO_FEW_STEP_USERS = "too_few_step_users"
    TOO_FEW_LIST_USERS = "too_few_list_users"
    TOO_FEW_QUALITY_USERS = "too_few_quality_users"
    QUALITY_INCONCLUSIVE = "quality_inconclusive"
    DEADLINE_EXCEEDED = "deadline_exceeded"  # hold or roll back, depending on the policy
    # Sufficient evidence: advance or promote.
    GUARDRAILS_PASSED = "guardrails_passed"
    QUALITY_PROVEN = "quality_proven"
    FINAL_STEP_PASSED = "final_step_passed"
    # Decided by the controller or an operator.
    CANARY_READY = "canary_ready"
    REPLICAS_NOT_READY = "replicas_not_ready"
    TRAFFIC_SPLIT_FAILED = "traffic_split_failed"
    OPERATOR_COMMAND = "operator_command"
    PAUSED = "paused"


@dataclass(frozen=True)
class Decision:
    """An action and the reason for it."""

    action: Action
    reason: ReasonCode
    message: str  # human-readable reason
    evidence: Mapping[str, float] = field(default_factory=dict)  # values that the decision is based on
