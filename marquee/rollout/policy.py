"""Evidence to Decision: whether a canary holds, advances, is promoted or rolled back, and why.

A pure function. What is known to be bad is looked at first and ends the rollout; what is not known keeps it
where it is; only what is known to be good moves it.

    bad       an alarm, a mismatch of the arms, crashes, a quality that is proven worse   -> roll back
    unknown   no data, stale data, a metric that failed, too few users, too little time   -> hold
    good      no alarm at this share of users; before everybody gets it, a proven quality -> advance, promote
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from marquee.rollout.decision import Action, Decision, ReasonCode
from marquee.rollout.sequential_tests import UNKNOWN, Interval

Aim = Literal["superiority", "non-inferiority"]

# What must not happen to a user more often than in stable; and what lists must not drift to.
INCIDENTS = ("errors", "slow", "below_personal", "empty")
DRIFTS = ("popularity", "overlap")
ALARMS = (*INCIDENTS, *DRIFTS, "mismatch")  # `guardrail_alpha` is shared among them


# Guardrails by incident and by drift.
GUARDRAILS: Mapping[str, ReasonCode] = {
    "errors": ReasonCode.ERROR_RATE,
    "slow": ReasonCode.LATENCY,
    "below_personal": ReasonCode.FALLBACK_RATE,
    "empty": ReasonCode.EMPTY_LISTS,
    "popularity": ReasonCode.POPULARITY_DRIFT,
    "overlap": ReasonCode.OVERLAP_DRIFT,
}


@dataclass(frozen=True)
class Policy:
    """What counts as evidence, and what is done without."""

    steps: tuple[float, ...]  # shares of users, ascending; the last is 1
    aim: Aim  # better, or not worse by more than the margin
    margin: float  # of non-inferiority, in units of the objective
    alpha: float  # that identical arms are called better or worse, ever
    guardrail_alpha: float  # that any alarm is false, ever
    tolerance: Mapping[str, float]  # by incident: odds ratio; by drift: difference that is still acceptable
    step_seconds: float  # a step lasts so long at least
    step_users: int  # and sees so many users of the canary
    quality_users: int  # of either arm, before quality is looked at
    drift_users: int  # of either arm, before drifts are looked at
    stale_seconds: float  # so long without an answer of an arm is no data
    unhealthy_seconds: float  # so long without a healthy replica ends the rollout
    max_restarts: int  # of replicas of the canary, in a step
    deadline_seconds: float  # of the whole rollout
    at_deadline: Action  # hold or roll back

    @property
    def alarm_alpha(self) -> float:
        """The level of each alarm (Bonferroni)."""
        return self.guardrail_alpha / len(ALARMS)


@dataclass(frozen=True)
class Incidents:
    """Users that something happened to, and whether that is an alarm."""

    canary: int
    total: int
    p: float  # always valid
    alarm: bool


@dataclass(frozen=True)
class Drift:
    """How much more of something the canary's lists have, and whether that is an alarm."""

    difference: Interval
    alarm: bool
    users: tuple[int, int]  # in stable, in the canary


@dataclass(frozen=True)
class Trouble:
    """A reason why the evidence is incomplete, such as a metric that could not be computed or read."""

    reason: ReasonCode
    message: str

    @classmethod
    def metric_failed(cls, detail: str) -> "Trouble":
        """Trouble of a metric that could not be computed or read."""
        return cls(ReasonCode.METRIC_FAILED, f"a metric failed: {detail}")


@dataclass(frozen=True)
class Evidence:
    """All that a decision is taken on, at one moment."""

    step: int  # number in the policy's steps
    step_seconds: float  # since it began
    seconds: float  # since the rollout began
    step_users: int  # of the canary, seen in this step
    age_seconds: Mapping[str, float]  # by arm: since its last answer; infinite where there was none
    incidents: Mapping[str, Incidents]
    drifts: Mapping[str, Drift]
    mismatch: Incidents
    quality: Interval = UNKNOWN  # objective of the canary less that of stable
    quality_users: tuple[int, int] = (0, 0)  # in stable, in the canary
    restarts: int = 0  # of the canary's replicas, in this step
    unhealthy_seconds: float = 0.0  # since the canary had a healthy replica
    troubles: Sequence[Trouble] = field(default=())


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """What the evidence allows."""
    for bad in _bad(evidence, policy):
        return bad
    for hold in _unknown(evidence, policy):
        return _at_deadline(evidence, policy, hold)
    return _good(evidence, policy)


def _bad(evidence: Evidence, policy: Policy) -> Iterator[Decision]:
    """Everything that ends the rollout, the plainest first."""
    everybody = policy.steps[evidence.step] == 1
    for name, incidents in evidence.incidents.items():
        if incidents.alarm:
            yield _roll_back(GUARDRAILS[name], _happened(name, incidents, everybody), p=incidents.p)
    for name, drift in evidence.drifts.items():
        if drift.alarm:
            low, allowed = drift.difference.low, policy.tolerance[name]
            why = f"{name} of the lists is at least {low:.3f} above stable's ({allowed:g} allowed)"
            yield _roll_back(GUARDRAILS[name], why, low=low)
    if evidence.mismatch.alarm:
        seen = f"{evidence.mismatch.canary} of {evidence.mismatch.total} users are in the canary"
        why = (
            f"{seen}, which its share cannot explain (p = {evidence.mismatch.p:.2g}): arms cannot be compared"
        )
        yield _roll_back(ReasonCode.SAMPLE_RATIO_MISMATCH, why, p=evidence.mismatch.p)
    if evidence.restarts > policy.max_restarts:
        why = f"replicas of the canary ended {evidence.restarts} times in this step"
        why = f"{why} ({policy.max_restarts} allowed)"
        yield _roll_back(ReasonCode.CRASH_LOOP, why, restarts=evidence.restarts)
    if evidence.unhealthy_seconds > policy.unhealthy_seconds:
        why = f"no replica of the canary is healthy since {evidence.unhealthy_seconds:.0f} s"
        yield _roll_back(ReasonCode.NO_HEALTHY_REPLICA, why, seconds=evidence.unhealthy_seconds)
    worst = -policy.margin if policy.aim == "non-inferiority" else 0.0
    if evidence.quality.high < worst:
        why = f"quality is worse: {_interval(evidence.quality)}"
        yield _roll_back(ReasonCode.QUALITY_WORSE, why, **_bounds(evidence))


def _roll_back(reason: ReasonCode, message: str, **evidence: float) -> Decision:
    return Decision(Action.ROLL_BACK, reason, message, evidence)


def _unknown(evidence: Evidence, policy: Policy) -> Iterator[Decision]:
    """Everything that is not known and would have to be, before anybody else gets the canary."""

    def hold(reason: ReasonCode, message: str) -> Decision:
        return Decision(Action.HOLD, reason, message, _bounds(evidence))

    share = policy.steps[evidence.step]
    for trouble in evidence.troubles:
        yield hold(trouble.reason, trouble.message)
    for arm, age in evidence.age_seconds.items():
        if arm == "stable" and share == 1:
            continue
        if math.isinf(age):
            yield hold(ReasonCode.NO_DATA, f"no data: the {arm} arm has answered nobody yet")
        elif not age <= policy.stale_seconds:  # NaN too
            yield hold(ReasonCode.STALE_DATA, f"stale data: the {arm} arm answered {age:.0f} s ago")
    if _broken(evidence):
        yield hold(ReasonCode.METRIC_NOT_A_NUMBER, "a metric is not a number")
    if not evidence.step_seconds >= policy.step_seconds:
        left = policy.step_seconds - evidence.step_seconds
        yield hold(ReasonCode.STEP_TOO_SHORT, f"this step lasts {left:.0f} s longer at least")
    if evidence.step_users < policy.step_users:
        seen = f"{evidence.step_users} of {policy.step_users} users of the canary seen in this step"
        yield hold(ReasonCode.TOO_FEW_STEP_USERS, seen)
    for name, drift in evidence.drifts.items():
        if min(drift.users) < policy.drift_users:
            seen = f"{name} of the lists is {_of_few(drift.users, policy.drift_users)}"
            yield hold(ReasonCode.TOO_FEW_DRIFT_USERS, seen)


def _good(evidence: Evidence, policy: Policy) -> Decision:
    last, bounds = len(policy.steps) - 1, _bounds(evidence)
    if evidence.step == last:
        why = "everybody has it, and no alarm went off"
        return Decision(Action.PROMOTE, ReasonCode.FINAL_STEP_PASSED, why, bounds)
    if evidence.step < last - 1:
        why = f"no alarm at this share; {policy.steps[evidence.step + 1]:.0%} of users come next"
        return Decision(Action.ADVANCE, ReasonCode.GUARDRAILS_PASSED, why, bounds)
    least = -policy.margin if policy.aim == "non-inferiority" else 0.0
    if evidence.quality.low > least:
        found = "better" if policy.aim == "superiority" else f"not worse by {policy.margin:g}"
        why = f"quality is {found}: {_interval(evidence.quality)}"
        return Decision(Action.ADVANCE, ReasonCode.QUALITY_PROVEN, why, bounds)
    if math.isnan(evidence.quality.estimate):
        seen = f"quality is {_of_few(evidence.quality_users, policy.quality_users)}"
        hold = Decision(Action.HOLD, ReasonCode.TOO_FEW_QUALITY_USERS, seen, bounds)
    else:
        seen = f"quality is inconclusive: {_interval(evidence.quality)}"
        hold = Decision(Action.HOLD, ReasonCode.QUALITY_INCONCLUSIVE, seen, bounds)
    return _at_deadline(evidence, policy, hold)


def _at_deadline(evidence: Evidence, policy: Policy, hold: Decision) -> Decision:
    """Hold; past the deadline, what the policy says. At the last step quality is proven: there is none."""
    if evidence.seconds < policy.deadline_seconds or policy.steps[evidence.step] == 1:
        return hold
    late = f"inconclusive after {evidence.seconds / 3600:.1f} h: {hold.message}"
    return Decision(policy.at_deadline, ReasonCode.DEADLINE_EXCEEDED, late, hold.evidence)


def _broken(evidence: Evidence) -> bool:
    """Whether a figure is no number where one is due; an interval that is not known yet is no such thing."""
    ps = [evidence.mismatch.p, *(incidents.p for incidents in evidence.incidents.values())]
    times = (evidence.step_seconds, evidence.seconds, evidence.unhealthy_seconds)
    known = (evidence.quality, *(drift.difference for drift in evidence.drifts.values()))
    edges = [edge for interval in known for edge in (interval.low, interval.high)]
    return any(math.isnan(number) for number in (*ps, *times, *edges))


def _happened(name: str, incidents: Incidents, everybody: bool) -> str:
    what = name.replace("_", " ")
    if everybody:
        return f"{what}: more users are concerned since everybody has it (p = {incidents.p:.2g})"
    seen = f"{incidents.canary} of the {incidents.total} users concerned are in the canary"
    return f"{what}: {seen}, too many for its share (p = {incidents.p:.2g})"


def _of_few(users: tuple[int, int], needed: int) -> str:
    return f"known of {users[0]} and {users[1]} users, {needed} of either arm needed"


def _interval(interval: Interval) -> str:
    return f"{interval.estimate:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def _bounds(evidence: Evidence) -> dict[str, float]:
    quality = evidence.quality
    return {"estimate": quality.estimate, "low": quality.low, "high": quality.high}
