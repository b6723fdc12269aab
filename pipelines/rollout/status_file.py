"""Status file: the controller's last observation of a rollout, for `marquee canary status`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from marquee.files.atomic_write import write_json
from marquee.finite_values import finite_or_none
from marquee.rollout.decision_types import Decision
from marquee.rollout.evidence import Evidence, GuardrailCounts, ListMetricDifference
from marquee.rollout.sequential_tests import ConfidenceInterval
from marquee.rollout.state import Rollout

STATUS_FILE = "rollout.json"


class _StatusModel(BaseModel):
    """Part of the status file; None means unknown."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class GuardrailStatus(_StatusModel):
    """Affected users of a guardrail metric, or all users for the sample-ratio mismatch."""

    canary: int
    total: int
    p: float | None  # always-valid p-value
    is_alarm: bool

    @classmethod
    def from_counts(cls, counts: GuardrailCounts) -> "GuardrailStatus":
        """Return the status of a guardrail metric's test."""
        p = finite_or_none(counts.p)
        return cls(canary=counts.canary, total=counts.total, p=p, is_alarm=counts.is_alarm)


class IntervalStatus(_StatusModel):
    """Difference between the arms, canary minus stable, and its confidence interval."""

    estimate: float | None
    low: float | None
    high: float | None

    @classmethod
    def from_interval(cls, interval: ConfidenceInterval) -> "IntervalStatus":
        """Return the status of an interval; an infinite bound becomes None."""
        return cls(
            estimate=finite_or_none(interval.estimate),
            low=finite_or_none(interval.low),
            high=finite_or_none(interval.high),
        )


class ListMetricStatus(_StatusModel):
    """Test of a list metric."""

    difference: IntervalStatus
    is_alarm: bool

    @classmethod
    def from_difference(cls, metric: ListMetricDifference) -> "ListMetricStatus":
        """Return the status of a list metric's test."""
        return cls(difference=IntervalStatus.from_interval(metric.difference), is_alarm=metric.is_alarm)


class RolloutStatus(_StatusModel):
    """Evidence and decision at the time of the last observation."""

    version: Literal[2] = 2  # of this file; version 1 had other field names and no version
    name: str  # of the rollout
    time: float  # UTC seconds
    step: int  # from 0
    allocation: float
    step_seconds: float
    rollout_seconds: float
    step_users: int  # canary users with a response in this step
    action: str
    reason: str  # code
    message: str  # the reason in words
    seconds_since_last_response: Mapping[str, float | None]  # by arm
    guardrail_metrics: Mapping[str, GuardrailStatus]
    sample_ratio_mismatch: GuardrailStatus
    list_metrics: Mapping[str, ListMetricStatus]
    quality: IntervalStatus
    quality_users: tuple[int, int]  # with an outcome: stable, canary
    restarts: int  # of the canary's replicas, in this step
    gaps: tuple[str, ...]  # messages on missing evidence
    metrics: Mapping[str, float]


def build_status(
    rollout: Rollout, evidence: Evidence, decision: Decision, metrics: Mapping[str, float], now: float
) -> RolloutStatus:
    """Return the status after an observation."""
    ages = evidence.data_age_seconds
    guardrails, list_metrics = evidence.guardrails, evidence.list_metrics
    return RolloutStatus(
        name=rollout.name,
        time=now,
        step=rollout.step,
        allocation=rollout.allocation,
        step_seconds=evidence.step_seconds,
        rollout_seconds=evidence.rollout_seconds,
        step_users=evidence.step_users,
        action=decision.action,
        reason=decision.reason,
        message=decision.message,
        seconds_since_last_response={arm: finite_or_none(age) for arm, age in ages.items()},
        guardrail_metrics={name: GuardrailStatus.from_counts(guardrails[name]) for name in guardrails},
        sample_ratio_mismatch=GuardrailStatus.from_counts(evidence.sample_ratio_mismatch),
        list_metrics={name: ListMetricStatus.from_difference(list_metrics[name]) for name in list_metrics},
        quality=IntervalStatus.from_interval(evidence.quality),
        quality_users=evidence.quality_users,
        restarts=evidence.restarts,
        gaps=tuple(gap.message for gap in evidence.gaps),
        metrics=metrics,
    )


def write_status(folder: Path, status: RolloutStatus) -> None:
    """Write the status file of a stack.

    The file is not synced: it is written twice a second, and a slow disk must not delay decisions.

    Raises:
        OSError: the file cannot be written.
    """
    write_json(folder / STATUS_FILE, status.model_dump(mode="json"), sync=False)


def read_status(folder: Path, rollout_name: str) -> RolloutStatus | None:
    """Return the status of a rollout, or None if there is no status file of this rollout and file version."""
    try:
        status = RolloutStatus.model_validate_json((folder / STATUS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return status if status.name == rollout_name else None
