"""Evidence: the state of all tests of a rollout at one moment. Decisions depend on nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marquee.rollout.arms import PerArm
from marquee.rollout.decision_types import ReasonCode
from marquee.rollout.sequential_tests import UNKNOWN_INTERVAL, ConfidenceInterval

# Events that must not happen to more users of the canary than of stable.
GUARDRAIL_METRICS = ("errors", "slow", "below_personal", "empty")
# Properties of lists that must not rise beyond a limit.
LIST_METRICS = ("popularity", "overlap")
NO_USERS = PerArm(0, 0)


@dataclass(frozen=True)
class GuardrailCounts:
    """Number of users affected by an event, and the test of the canary's share of them."""

    canary: int
    total: int
    p: float  # always-valid p-value
    is_alarm: bool


@dataclass(frozen=True)
class ListMetricDifference:
    """Difference of a list metric, canary minus stable, and its test."""

    difference: ConfidenceInterval
    is_alarm: bool
    users: PerArm[int]  # users in the whole rollout


@dataclass(frozen=True)
class EvidenceGap:
    """A reason why the evidence is incomplete, such as a metric that could not be read."""

    reason: ReasonCode
    message: str

    @classmethod
    def for_failed_metric(cls, detail: str) -> "EvidenceGap":
        """Return the gap left by a metric that could not be read or computed."""
        return cls(ReasonCode.METRIC_FAILED, f"a metric failed: {detail}")


@dataclass(frozen=True)
class RolloutConditions:
    """Elapsed times and health of the canary's replicas at one moment; no statistics."""

    step: int  # index into the policy's steps
    step_seconds: float  # since the step started
    rollout_seconds: float  # since the rollout started
    data_age_seconds: Mapping[str, float]  # by arm, since its last response; infinite if it has none
    restarts: int = 0  # restarts of canary replicas in this step
    unhealthy_seconds: float = 0.0  # since the canary last had a healthy replica
    gaps: Sequence[EvidenceGap] = ()


@dataclass(frozen=True)
class Evidence:
    """State of all tests and conditions of a rollout at one moment."""

    step: int  # index into the policy's steps
    step_seconds: float  # since the step started
    rollout_seconds: float  # since the rollout started
    step_users: int  # canary users with a response in this step
    data_age_seconds: Mapping[str, float]  # by arm, since its last response; infinite if it has none
    guardrails: Mapping[str, GuardrailCounts]
    list_metrics: Mapping[str, ListMetricDifference]
    sample_ratio_mismatch: GuardrailCounts
    quality: ConfidenceInterval = UNKNOWN_INTERVAL  # mean outcome, canary minus stable
    quality_users: PerArm[int] = NO_USERS  # with an outcome
    restarts: int = 0  # restarts of canary replicas in this step
    unhealthy_seconds: float = 0.0  # since the canary last had a healthy replica
    gaps: Sequence[EvidenceGap] = ()
