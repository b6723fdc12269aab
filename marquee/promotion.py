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

from marquee.sequential import UNKNOWN, Interval

Action = Literal["hold", "advance", "promote", "roll back"]
Aim = Literal["superiority", "non-inferiority"]

# What must not happen to a user more often than in stable; and what lists must not drift to.
INCIDENTS = ("errors", "slow", "below_personal", "empty")
DRIFTS = ("popularity", "overlap")
ALARMS = (*INCIDENTS, *DRIFTS, "mismatch")  # `guardrail_alpha` is shared among them


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
    at_deadline: Literal["hold", "roll back"]

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
    troubles: Sequence[str] = field(default=())  # metrics that could not be computed or read


@dataclass(frozen=True)
class Decision:
    """What is done, and why."""

    action: Action
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
    late: bool = False  # for want of evidence until the deadline, and not for what was seen


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """What the evidence allows."""
    for bad in _bad(evidence, policy):
        return bad
    for reason in _unknown(evidence, policy):
        return _late(evidence, policy, reason)
    return _good(evidence, policy)


def _bad(evidence: Evidence, policy: Policy) -> Iterator[Decision]:
    """Everything that ends the rollout, the plainest first."""
    everybody = policy.steps[evidence.step] == 1
    for name, incidents in evidence.incidents.items():
        if incidents.alarm:
            yield Decision("roll back", _happened(name, incidents, everybody), {"p": incidents.p})
    for name, drift in evidence.drifts.items():
        if drift.alarm:
            low, allowed = drift.difference.low, policy.tolerance[name]
            why = f"{name} of the lists is at least {low:.3f} above stable's ({allowed:g} allowed)"
            yield Decision("roll back", why, {"low": low})
    if evidence.mismatch.alarm:
        seen = f"{evidence.mismatch.canary} of {evidence.mismatch.total} users are in the canary"
        why = (
            f"{seen}, which its share cannot explain (p = {evidence.mismatch.p:.2g}): arms cannot be compared"
        )
        yield Decision("roll back", why, {"p": evidence.mismatch.p})
    if evidence.restarts > policy.max_restarts:
        why = f"replicas of the canary ended {evidence.restarts} times in this step"
        yield Decision("roll back", f"{why} ({policy.max_restarts} allowed)", {"restarts": evidence.restarts})
    if evidence.unhealthy_seconds > policy.unhealthy_seconds:
        why = f"no replica of the canary is healthy since {evidence.unhealthy_seconds:.0f} s"
        yield Decision("roll back", why, {"seconds": evidence.unhealthy_seconds})
    worst = -policy.margin if policy.aim == "non-inferiority" else 0.0
    if evidence.quality.high < worst:
        yield Decision("roll back", f"quality is worse: {_interval(evidence.quality)}", _bounds(evidence))


def _unknown(evidence: Evidence, policy: Policy) -> Iterator[str]:
    """Everything that is not known and would have to be, before anybody else gets the canary."""
    share = policy.steps[evidence.step]
    yield from (f"a metric failed: {trouble}" for trouble in evidence.troubles)
    for arm, age in evidence.age_seconds.items():
        if arm == "stable" and share == 1:
            continue
        if math.isinf(age):
            yield f"no data: the {arm} arm has answered nobody yet"
        elif not age <= policy.stale_seconds:  # NaN too
            yield f"stale data: the {arm} arm answered {age:.0f} s ago"
    if _broken(evidence):
        yield "a metric is not a number"
    if not evidence.step_seconds >= policy.step_seconds:
        yield f"this step lasts {policy.step_seconds - evidence.step_seconds:.0f} s longer at least"
    if evidence.step_users < policy.step_users:
        yield f"{evidence.step_users} of {policy.step_users} users of the canary seen in this step"
    for name, drift in evidence.drifts.items():
        if min(drift.users) < policy.drift_users:
            yield f"{name} of the lists is {_of_few(drift.users, policy.drift_users)}"


def _good(evidence: Evidence, policy: Policy) -> Decision:
    last = len(policy.steps) - 1
    if evidence.step == last:
        return Decision("promote", "everybody has it, and no alarm went off", _bounds(evidence))
    if evidence.step < last - 1:
        share = policy.steps[evidence.step + 1]
        return Decision(
            "advance", f"no alarm at this share; {share:.0%} of users come next", _bounds(evidence)
        )
    least = -policy.margin if policy.aim == "non-inferiority" else 0.0
    if evidence.quality.low > least:
        found = "better" if policy.aim == "superiority" else f"not worse by {policy.margin:g}"
        return Decision("advance", f"quality is {found}: {_interval(evidence.quality)}", _bounds(evidence))
    if math.isnan(evidence.quality.estimate):
        seen = f"quality is {_of_few(evidence.quality_users, policy.quality_users)}"
        return _late(evidence, policy, seen)
    return _late(evidence, policy, f"quality is inconclusive: {_interval(evidence.quality)}")


def _late(evidence: Evidence, policy: Policy, reason: str) -> Decision:
    """Hold; past the deadline, what the policy says. At the last step quality is proven: there is none."""
    if evidence.seconds < policy.deadline_seconds or policy.steps[evidence.step] == 1:
        return Decision("hold", reason, _bounds(evidence))
    late = f"inconclusive after {evidence.seconds / 3600:.1f} h: {reason}"
    return Decision(policy.at_deadline, late, _bounds(evidence), late=True)


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
