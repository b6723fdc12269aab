"""Promotion policy: bad evidence rolls back, missing evidence holds, good evidence advances."""

import math
from dataclasses import replace
from typing import Any

import pytest

from marquee.rollout.arms import PerArm
from marquee.rollout.decision_types import Action, ReasonCode
from marquee.rollout.evidence import (
    GUARDRAIL_METRICS,
    LIST_METRICS,
    Evidence,
    EvidenceGap,
    GuardrailCounts,
    ListMetricDifference,
)
from marquee.rollout.policy import ALARM_REASONS, PromotionPolicy, decide
from marquee.rollout.sequential_tests import UNKNOWN_INTERVAL, ConfidenceInterval

NO_ALARM = GuardrailCounts(1, 10, 0.8, is_alarm=False)
ALARM = GuardrailCounts(9, 10, 1e-6, is_alarm=True)
USERS = PerArm(stable=900, canary=100)
POLICY = PromotionPolicy(
    steps=(0.01, 0.1, 0.5, 1.0),
    hypothesis="superiority",
    non_inferiority_margin=0.0,
    alpha=0.05,
    guardrail_alpha=0.01,
    max_odds_ratio={"errors": 1.5, "slow": 2.0, "below_personal": 1.5, "empty": 1.0},
    max_increase={"popularity": 0.02, "overlap": 0.2},
    min_step_seconds=60,
    min_step_users=100,
    min_quality_users=500,
    min_list_users=100,
    stale_seconds=30,
    unhealthy_seconds=20,
    max_restarts=2,
    deadline_seconds=3600,
    at_deadline=Action.ROLL_BACK,
)
GOOD = Evidence(
    step=0,
    step_seconds=61,
    rollout_seconds=61,
    step_users=100,
    data_age_seconds={"stable": 0.5, "canary": 1.0},
    guardrails={"errors": NO_ALARM, "slow": NO_ALARM},
    list_metrics={
        "overlap": ListMetricDifference(ConfidenceInterval(0.0, -0.1, 0.1), is_alarm=False, users=USERS)
    },
    sample_ratio_mismatch=NO_ALARM,
)
INCREASED = ListMetricDifference(ConfidenceInterval(0.5, 0.4, 0.6), is_alarm=True, users=USERS)
BETTER, WORSE = ConfidenceInterval(0.2, 0.1, 0.3), ConfidenceInterval(-0.2, -0.3, -0.1)
INCONCLUSIVE = ConfidenceInterval(0.0, -0.1, 0.1)
NEVER = {"stable": math.inf, "canary": math.inf}  # no response yet


def decide_action(evidence: Evidence, policy: PromotionPolicy = POLICY) -> Action:
    return decide(evidence, policy).action


def test_good_evidence_advances() -> None:
    assert decide_action(GOOD) == Action.ADVANCE


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        *(({"guardrails": {name: ALARM}}, ALARM_REASONS[name]) for name in GUARDRAIL_METRICS),
        *(({"list_metrics": {name: INCREASED}}, ALARM_REASONS[name]) for name in LIST_METRICS),
        ({"sample_ratio_mismatch": ALARM}, ReasonCode.SAMPLE_RATIO_MISMATCH),
        ({"restarts": 3}, ReasonCode.CRASH_LOOP),
        ({"unhealthy_seconds": 21.0}, ReasonCode.NO_HEALTHY_REPLICA),
        ({"quality": WORSE}, ReasonCode.QUALITY_WORSE),
    ],
)
def test_bad_evidence_rolls_back_even_if_other_evidence_is_missing(
    bad: dict[str, Any], reason: ReasonCode
) -> None:
    for evidence in (GOOD, replace(GOOD, step_users=0, data_age_seconds=NEVER)):
        decision = decide(replace(evidence, **bad), POLICY)
        assert (decision.action, decision.reason) == (Action.ROLL_BACK, reason)


@pytest.mark.parametrize(
    ("missing", "reason", "message"),
    [
        (
            {"gaps": (EvidenceGap.for_failed_metric("events cannot be read"),)},
            ReasonCode.METRIC_FAILED,
            "events cannot be read",
        ),
        (
            {"gaps": (EvidenceGap(ReasonCode.CATCHING_UP, "still reading"),)},
            ReasonCode.CATCHING_UP,
            "still reading",
        ),
        (
            {"data_age_seconds": {"stable": 0.1, "canary": math.inf}},
            ReasonCode.NO_DATA,
            "no data: the canary",
        ),
        (
            {"data_age_seconds": {"stable": math.inf, "canary": 0.1}},
            ReasonCode.NO_DATA,
            "no data: the stable",
        ),
        ({"data_age_seconds": {"stable": 0.1, "canary": 31.0}}, ReasonCode.STALE_DATA, "stale data"),
        ({"data_age_seconds": {"stable": 0.1, "canary": math.nan}}, ReasonCode.STALE_DATA, "stale data"),
        (
            {"sample_ratio_mismatch": GuardrailCounts(1, 10, math.nan, is_alarm=False)},
            ReasonCode.METRIC_NOT_A_NUMBER,
            "not a number",
        ),
        (
            {"quality": ConfidenceInterval(math.nan, math.nan, math.nan)},
            ReasonCode.METRIC_NOT_A_NUMBER,
            "not a number",
        ),
        ({"step_seconds": 59.0}, ReasonCode.STEP_TOO_SHORT, "1 s longer"),
        ({"step_seconds": math.nan}, ReasonCode.METRIC_NOT_A_NUMBER, "not a number"),
        ({"step_users": 99}, ReasonCode.TOO_FEW_STEP_USERS, "99 of 100 canary users"),
        (
            {
                "list_metrics": {
                    "overlap": ListMetricDifference(
                        UNKNOWN_INTERVAL, is_alarm=False, users=PerArm(stable=900, canary=99)
                    )
                }
            },
            ReasonCode.TOO_FEW_LIST_USERS,
            "overlap of lists: 900 stable and 99 canary users, 100 of each needed",
        ),
    ],
)
def test_missing_evidence_holds_at_every_step(
    missing: dict[str, Any], reason: ReasonCode, message: str
) -> None:
    for step in range(len(POLICY.steps) - 1):
        complete = replace(GOOD, step=step, quality=BETTER)
        assert decide_action(complete) == Action.ADVANCE
        decision = decide(replace(complete, **missing), POLICY)
        assert (decision.action, decision.reason) == (Action.HOLD, reason)
        assert message in decision.message


def test_rollout_without_data_never_advances_at_its_deadline() -> None:
    late = replace(GOOD, rollout_seconds=4000, data_age_seconds=NEVER)
    assert decide_action(late) == Action.ROLL_BACK
    assert decide_action(late, replace(POLICY, at_deadline=Action.HOLD)) == Action.HOLD


@pytest.mark.parametrize(
    ("quality", "action"),
    [
        (BETTER, Action.ADVANCE),
        (INCONCLUSIVE, Action.HOLD),
        (UNKNOWN_INTERVAL, Action.HOLD),
        (WORSE, Action.ROLL_BACK),
    ],
)
def test_last_step_requires_superiority(quality: ConfidenceInterval, action: Action) -> None:
    assert decide_action(replace(GOOD, step=2, quality=quality)) == action


@pytest.mark.parametrize(
    ("quality", "action"),
    [
        (BETTER, Action.ADVANCE),
        (ConfidenceInterval(-0.02, -0.04, 0.0), Action.ADVANCE),
        (INCONCLUSIVE, Action.HOLD),
        (WORSE, Action.ROLL_BACK),
    ],
)
def test_last_step_requires_non_inferiority(quality: ConfidenceInterval, action: Action) -> None:
    policy = replace(POLICY, hypothesis="non-inferiority", non_inferiority_margin=0.05)
    assert decide_action(replace(GOOD, step=2, quality=quality), policy) == action


def test_last_step_needs_data_of_the_canary_only() -> None:
    last = replace(GOOD, step=3, data_age_seconds={"stable": 4000.0, "canary": 0.1})
    assert decide_action(last) == Action.PROMOTE
    stale = replace(last, data_age_seconds={"stable": 0.1, "canary": 4000.0})
    assert decide_action(stale) == Action.HOLD


def test_inconclusive_rollout_ends_at_its_deadline() -> None:
    late = replace(GOOD, step=2, quality=INCONCLUSIVE, rollout_seconds=3601)
    decision = decide(late, POLICY)
    assert (decision.action, decision.reason) == (Action.ROLL_BACK, ReasonCode.DEADLINE_EXCEEDED)


def test_last_step_has_no_deadline() -> None:
    late = replace(GOOD, step=3, rollout_seconds=4000, step_seconds=1.0, quality=BETTER)
    assert decide_action(late) == Action.HOLD
    assert decide_action(replace(late, step_seconds=61.0)) == Action.PROMOTE
    assert decide_action(replace(late, data_age_seconds={"canary": 4000.0})) == Action.HOLD
    assert decide_action(replace(late, sample_ratio_mismatch=ALARM)) == Action.ROLL_BACK


def test_alarm_takes_precedence_over_deadline() -> None:
    late = decide(replace(GOOD, sample_ratio_mismatch=ALARM, rollout_seconds=3601), POLICY)
    assert late.reason == ReasonCode.SAMPLE_RATIO_MISMATCH


def test_reason_code_says_why_a_step_was_or_was_not_passed() -> None:
    reasons = [decide(replace(GOOD, step=step, quality=BETTER), POLICY).reason for step in range(4)]
    assert reasons == [
        ReasonCode.GUARDRAILS_PASSED,
        ReasonCode.GUARDRAILS_PASSED,
        ReasonCode.QUALITY_PROVEN,
        ReasonCode.FINAL_STEP_PASSED,
    ]
    inconclusive = decide(replace(GOOD, step=2, quality=INCONCLUSIVE), POLICY)
    unknown = decide(replace(GOOD, step=2, quality=UNKNOWN_INTERVAL), POLICY)
    assert inconclusive.reason == ReasonCode.QUALITY_INCONCLUSIVE
    assert unknown.reason == ReasonCode.TOO_FEW_QUALITY_USERS


def test_alarms_share_guardrail_alpha_equally() -> None:
    assert POLICY.alarm_alpha == pytest.approx(0.01 / 7)
