"""Promotion policy: from the evidence to a decision.

    bad      an alarm, a crash loop, no healthy replica, quality proven worse              -> roll back
    unknown  no recent data, failed metric, too few users, too early, quality inconclusive -> hold
    good     no alarm; before the last step, quality proven                                -> advance, promote

The three are checked in this order, so bad evidence ends a rollout even if other evidence is missing, and
missing evidence is never a pass.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from marquee.rollout.arms import STABLE, PerArm
from marquee.rollout.decision_types import Action, Decision, ReasonCode
from marquee.rollout.evidence import GUARDRAIL_METRICS, LIST_METRICS, Evidence, EvidenceGap, GuardrailCounts
from marquee.rollout.sequential_tests import ConfidenceInterval

Hypothesis = Literal["superiority", "non-inferiority"]

ALARMS = (*GUARDRAIL_METRICS, *LIST_METRICS, "sample_ratio_mismatch")  # they share `guardrail_alpha`
ALARM_REASONS: Mapping[str, ReasonCode] = {
    "errors": ReasonCode.ERROR_RATE,
    "slow": ReasonCode.LATENCY,
    "below_personal": ReasonCode.FALLBACK_RATE,
    "empty": ReasonCode.EMPTY_LISTS,
    "popularity": ReasonCode.LIST_POPULARITY,
    "overlap": ReasonCode.LIST_OVERLAP,
}


@dataclass(frozen=True)
class PromotionPolicy:
    """Steps of a rollout, error rates of its tests, and the evidence that each action requires."""

    steps: tuple[float, ...]  # allocations, increasing; the last is 1
    hypothesis: Hypothesis  # better, or not worse by more than the margin
    non_inferiority_margin: float  # in units of the objective
    alpha: float  # probability that identical arms are ever called better or worse
    guardrail_alpha: float  # probability of any false alarm, at any time
    max_odds_ratio: Mapping[str, float]  # by guardrail metric, canary to stable
    max_increase: Mapping[str, float]  # by list metric, canary minus stable
    min_step_seconds: float  # duration of a step
    min_step_users: int  # canary users per step
    min_quality_users: int  # per arm, before quality is evaluated
    min_list_users: int  # per arm, before list metrics are evaluated
    stale_seconds: float  # the data of an arm are stale if its last response is older
    unhealthy_seconds: float  # roll back if the canary has had no healthy replica for longer
    max_restarts: int  # of canary replicas per step
    deadline_seconds: float  # after the start of the rollout
    at_deadline: Action  # hold or roll back

    @property
    def alarm_alpha(self) -> float:
        """Error rate of each alarm (Bonferroni correction)."""
        return self.guardrail_alpha / len(ALARMS)

    @property
    def quality_threshold(self) -> float:
        """Quality difference above which the hypothesis is proven."""
        return -self.non_inferiority_margin if self.hypothesis == "non-inferiority" else 0.0

    def is_last_step(self, step: int) -> bool:
        """Return True for the step with all users in the canary, which has no stable arm."""
        return step == len(self.steps) - 1

    def is_next_to_last_step(self, step: int) -> bool:
        """Return True for the step in which quality must be proven before all users get the canary."""
        return step == len(self.steps) - 2


def decide(evidence: Evidence, policy: PromotionPolicy) -> Decision:
    """Return the decision that follows from the evidence and the policy, without side effects."""
    if (rollback := next(_rollbacks(evidence, policy), None)) is not None:
        return rollback
    if (hold := next(_holds(evidence, policy), None)) is not None:
        return _apply_deadline(evidence, policy, hold)
    return _advance_or_promote(evidence, policy)


def _rollbacks(evidence: Evidence, policy: PromotionPolicy) -> Iterator[Decision]:
    """Yield a rollback for each proof that the canary is bad, clearest proof first."""
    yield from _alarm_rollbacks(evidence, policy)
    yield from _health_rollbacks(evidence, policy)
    if evidence.quality.high < policy.quality_threshold:
        message = f"quality is worse: {_format_interval(evidence.quality)}"
        yield _roll_back(ReasonCode.QUALITY_WORSE, message, **_quality_values(evidence))


def _alarm_rollbacks(evidence: Evidence, policy: PromotionPolicy) -> Iterator[Decision]:
    for name, counts in evidence.guardrails.items():
        if counts.is_alarm:
            message = _describe_guardrail(name, counts, last_step=policy.is_last_step(evidence.step))
            yield _roll_back(ALARM_REASONS[name], message, p=counts.p)
    for name, metric in evidence.list_metrics.items():
        if metric.is_alarm:
            low, limit = metric.difference.low, policy.max_increase[name]
            message = f"{name} of lists is at least {low:.3f} above stable's ({limit:g} allowed)"
            yield _roll_back(ALARM_REASONS[name], message, low=low)
    mismatch = evidence.sample_ratio_mismatch
    if mismatch.is_alarm:
        message = (
            f"sample-ratio mismatch: {mismatch.canary} of {mismatch.total} users are in the canary, which "
            f"chance cannot explain (p = {mismatch.p:.2g}); the arms cannot be compared"
        )
        yield _roll_back(ReasonCode.SAMPLE_RATIO_MISMATCH, message, p=mismatch.p)


def _health_rollbacks(evidence: Evidence, policy: PromotionPolicy) -> Iterator[Decision]:
    if evidence.restarts > policy.max_restarts:
        message = (
            f"replicas of the canary restarted {evidence.restarts} times in this step "
            f"({policy.max_restarts} allowed)"
        )
        yield _roll_back(ReasonCode.CRASH_LOOP, message, restarts=evidence.restarts)
    if evidence.unhealthy_seconds > policy.unhealthy_seconds:
        message = f"no replica of the canary has been healthy for {evidence.unhealthy_seconds:.0f} s"
        yield _roll_back(ReasonCode.NO_HEALTHY_REPLICA, message, seconds=evidence.unhealthy_seconds)


def _roll_back(reason: ReasonCode, message: str, **values: float) -> Decision:
    return Decision(Action.ROLL_BACK, reason, message, values)


def _holds(evidence: Evidence, policy: PromotionPolicy) -> Iterator[Decision]:
    """Yield a hold for each unmet requirement for giving the canary to more users."""
    data_gaps, sample_gaps = _data_gaps(evidence, policy), _sample_gaps(evidence, policy)
    for gap in (*evidence.gaps, *data_gaps, *sample_gaps, *_quality_gaps(evidence, policy)):
        yield Decision(Action.HOLD, gap.reason, gap.message, _quality_values(evidence))


def _data_gaps(evidence: Evidence, policy: PromotionPolicy) -> Iterator[EvidenceGap]:
    """Yield a gap for each arm without recent data, and for undefined metrics."""
    for arm, age in evidence.data_age_seconds.items():
        if arm == STABLE and policy.is_last_step(evidence.step):
            continue
        if math.isinf(age):
            yield EvidenceGap(ReasonCode.NO_DATA, f"no data: the {arm} arm has not answered any request yet")
        elif not age <= policy.stale_seconds:  # written so that NaN counts as stale
            message = f"stale data: the last response of the {arm} arm was {age:.0f} s ago"
            yield EvidenceGap(ReasonCode.STALE_DATA, message)
    if _has_nan(evidence):
        yield EvidenceGap(ReasonCode.METRIC_NOT_A_NUMBER, "a metric is not a number")


def _sample_gaps(evidence: Evidence, policy: PromotionPolicy) -> Iterator[EvidenceGap]:
    """Yield a gap if the step is too short, and for each count of users that is too small."""
    if not evidence.step_seconds >= policy.min_step_seconds:  # written so that NaN counts as too short
        remaining = policy.min_step_seconds - evidence.step_seconds
        yield EvidenceGap(ReasonCode.STEP_TOO_SHORT, f"this step lasts at least {remaining:.0f} s longer")
    if evidence.step_users < policy.min_step_users:
        message = f"{evidence.step_users} of {policy.min_step_users} canary users seen in this step"
        yield EvidenceGap(ReasonCode.TOO_FEW_STEP_USERS, message)
    for name, metric in evidence.list_metrics.items():
        if min(metric.users) < policy.min_list_users:
            message = f"{name} of lists: {_describe_users(metric.users, policy.min_list_users)}"
            yield EvidenceGap(ReasonCode.TOO_FEW_LIST_USERS, message)


def _quality_gaps(evidence: Evidence, policy: PromotionPolicy) -> Iterator[EvidenceGap]:
    """Yield a gap if the last step comes next and the hypothesis is not proven."""
    if not policy.is_next_to_last_step(evidence.step) or evidence.quality.low > policy.quality_threshold:
        return
    if math.isnan(evidence.quality.estimate):
        message = f"quality: {_describe_users(evidence.quality_users, policy.min_quality_users)}"
        yield EvidenceGap(ReasonCode.TOO_FEW_QUALITY_USERS, message)
    else:
        message = f"quality is inconclusive: {_format_interval(evidence.quality)}"
        yield EvidenceGap(ReasonCode.QUALITY_INCONCLUSIVE, message)


def _advance_or_promote(evidence: Evidence, policy: PromotionPolicy) -> Decision:
    """Return the decision if there is no reason to roll back or to hold."""
    values = _quality_values(evidence)
    if policy.is_last_step(evidence.step):
        message = "all users are in the canary, and no alarm was raised"
        return Decision(Action.PROMOTE, ReasonCode.FINAL_STEP_PASSED, message, values)
    if policy.is_next_to_last_step(evidence.step):
        superiority = policy.hypothesis == "superiority"
        claim = "better" if superiority else f"not worse by more than {policy.non_inferiority_margin:g}"
        message = f"quality is {claim}: {_format_interval(evidence.quality)}"
        return Decision(Action.ADVANCE, ReasonCode.QUALITY_PROVEN, message, values)
    message = f"no alarm at this allocation; {policy.steps[evidence.step + 1]:.0%} of users come next"
    return Decision(Action.ADVANCE, ReasonCode.GUARDRAILS_PASSED, message, values)


def _apply_deadline(evidence: Evidence, policy: PromotionPolicy, hold: Decision) -> Decision:
    """Return the hold or, after the deadline, the action of the policy.

    The last step has no deadline, since quality is proven before it.
    """
    if evidence.rollout_seconds < policy.deadline_seconds or policy.is_last_step(evidence.step):
        return hold
    message = f"inconclusive after {evidence.rollout_seconds / 3600:.1f} h: {hold.message}"
    return Decision(policy.at_deadline, ReasonCode.DEADLINE_EXCEEDED, message, hold.evidence)


def _has_nan(evidence: Evidence) -> bool:
    """Return True if a number is NaN, except the estimate of an unknown interval."""
    p_values = [evidence.sample_ratio_mismatch.p, *(counts.p for counts in evidence.guardrails.values())]
    times = (evidence.step_seconds, evidence.rollout_seconds, evidence.unhealthy_seconds)
    intervals = (evidence.quality, *(metric.difference for metric in evidence.list_metrics.values()))
    bounds = [bound for interval in intervals for bound in (interval.low, interval.high)]
    return any(math.isnan(number) for number in (*p_values, *times, *bounds))


def _describe_guardrail(name: str, counts: GuardrailCounts, *, last_step: bool) -> str:
    metric = name.replace("_", " ")
    if last_step:
        return f"{metric}: more users are affected than before the last step (p = {counts.p:.2g})"
    share = f"{counts.canary} of the {counts.total} affected users are in the canary"
    return f"{metric}: {share}, too many for its allocation (p = {counts.p:.2g})"


def _describe_users(users: PerArm[int], min_users: int) -> str:
    return f"{users.stable} stable and {users.canary} canary users, {min_users} of each needed"


def _format_interval(interval: ConfidenceInterval) -> str:
    return f"{interval.estimate:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def _quality_values(evidence: Evidence) -> dict[str, float]:
    quality = evidence.quality
    return {"estimate": quality.estimate, "low": quality.low, "high": quality.high}
