"""Decisions: what is bad ends a rollout, what is unknown holds it, what is good moves it."""

import math
from dataclasses import replace

import pytest

from marquee.rollout.decision import Action, ReasonCode
from marquee.rollout.policy import (
    DRIFTS,
    GUARDRAILS,
    INCIDENTS,
    Drift,
    Evidence,
    Incidents,
    Policy,
    Trouble,
    decide,
)
from marquee.rollout.sequential_tests import UNKNOWN, Interval

QUIET = Incidents(1, 10, 0.8, alarm=False)
LOUD = Incidents(9, 10, 1e-6, alarm=True)
POLICY = Policy(
    steps=(0.01, 0.1, 0.5, 1.0),
    aim="superiority",
    margin=0.0,
    alpha=0.05,
    guardrail_alpha=0.01,
    tolerance={
        "errors": 1.5,
        "slow": 2.0,
        "below_personal": 1.5,
        "empty": 1.0,
        "popularity": 0.02,
        "overlap": 0.2,
    },
    step_seconds=60,
    step_users=100,
    quality_users=500,
    drift_users=100,
    stale_seconds=30,
    unhealthy_seconds=20,
    max_restarts=2,
    deadline_seconds=3600,
    at_deadline=Action.ROLL_BACK,
)
FINE = Evidence(
    step=0,
    step_seconds=61,
    seconds=61,
    step_users=100,
    age_seconds={"stable": 0.5, "canary": 1.0},
    incidents={"errors": QUIET, "slow": QUIET},
    drifts={"overlap": Drift(Interval(0.0, -0.1, 0.1), alarm=False, users=(900, 100))},
    mismatch=QUIET,
)
SHIFTED = Drift(Interval(0.5, 0.4, 0.6), alarm=True, users=(900, 100))
BETTER, WORSE, UNSURE = Interval(0.2, 0.1, 0.3), Interval(-0.2, -0.3, -0.1), Interval(0.0, -0.1, 0.1)


def test_without_an_alarm_more_users_get_it() -> None:
    assert decide(FINE, POLICY).action == Action.ADVANCE


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        *(({"incidents": {name: LOUD}}, GUARDRAILS[name]) for name in INCIDENTS),
        *(({"drifts": {name: SHIFTED}}, GUARDRAILS[name]) for name in DRIFTS),
        ({"mismatch": LOUD}, ReasonCode.SAMPLE_RATIO_MISMATCH),
        ({"restarts": 3}, ReasonCode.CRASH_LOOP),
        ({"unhealthy_seconds": 21.0}, ReasonCode.NO_HEALTHY_REPLICA),
        ({"quality": WORSE}, ReasonCode.QUALITY_WORSE),
    ],
)
def test_whatever_is_bad_rolls_back_even_without_other_data(
    bad: dict[str, object], reason: ReasonCode
) -> None:
    for evidence in (FINE, replace(FINE, step_users=0, age_seconds={"stable": math.inf, "canary": math.inf})):
        decision = decide(replace(evidence, **bad), POLICY)  # type: ignore[arg-type]
        assert (decision.action, decision.reason) == (Action.ROLL_BACK, reason)


@pytest.mark.parametrize(
    ("unknown", "reason", "message"),
    [
        (
            {"troubles": (Trouble.metric_failed("events cannot be read"),)},
            ReasonCode.METRIC_FAILED,
            "events cannot be read",
        ),
        (
            {"troubles": (Trouble(ReasonCode.CATCHING_UP, "still reading"),)},
            ReasonCode.CATCHING_UP,
            "still reading",
        ),
        (
            {"age_seconds": {"stable": 0.1, "canary": math.inf}},
            ReasonCode.NO_DATA,
            "no data: the canary",
        ),
        (
            {"age_seconds": {"stable": math.inf, "canary": 0.1}},
            ReasonCode.NO_DATA,
            "no data: the stable",
        ),
        ({"age_seconds": {"stable": 0.1, "canary": 31.0}}, ReasonCode.STALE_DATA, "stale data"),
        ({"age_seconds": {"stable": 0.1, "canary": math.nan}}, ReasonCode.STALE_DATA, "stale data"),
        (
            {"mismatch": Incidents(1, 10, math.nan, alarm=False)},
            ReasonCode.METRIC_NOT_A_NUMBER,
            "not a number",
        ),
        (
            {"quality": Interval(math.nan, math.nan, math.nan)},
            ReasonCode.METRIC_NOT_A_NUMBER,
            "not a number",
        ),
        ({"step_seconds": 59.0}, ReasonCode.STEP_TOO_SHORT, "1 s longer"),
        ({"step_seconds": math.nan}, ReasonCode.METRIC_NOT_A_NUMBER, "not a number"),
        ({"step_users": 99}, ReasonCode.TOO_FEW_STEP_USERS, "99 of 100 users"),
        (
            {"drifts": {"overlap": Drift(UNKNOWN, alarm=False, users=(900, 99))}},
            ReasonCode.TOO_FEW_DRIFT_USERS,
            "overlap of the lists is known",
        ),
    ],
)
def test_whatever_is_unknown_holds_and_is_said(
    unknown: dict[str, object], reason: ReasonCode, message: str
) -> None:
    for step in range(len(POLICY.steps) - 1):
        decision = decide(
            replace(FINE, step=step, quality=BETTER) if "quality" not in unknown else FINE, POLICY
        )
        assert decision.action == Action.ADVANCE
        base = replace(FINE, step=step) if "quality" in unknown else replace(FINE, step=step, quality=BETTER)
        decision = decide(replace(base, **unknown), POLICY)  # type: ignore[arg-type]
        assert (decision.action, decision.reason) == (Action.HOLD, reason)
        assert message in decision.message


def test_no_data_at_the_deadline_never_advances() -> None:
    late = replace(FINE, seconds=4000, age_seconds={"stable": math.inf, "canary": math.inf})
    assert decide(late, POLICY).action == Action.ROLL_BACK
    assert decide(late, replace(POLICY, at_deadline=Action.HOLD)).action == Action.HOLD


@pytest.mark.parametrize(
    ("quality", "action"),
    [(BETTER, Action.ADVANCE), (UNSURE, Action.HOLD), (UNKNOWN, Action.HOLD), (WORSE, Action.ROLL_BACK)],
)
def test_before_everybody_gets_it_it_must_be_better(quality: Interval, action: Action) -> None:
    assert decide(replace(FINE, step=2, quality=quality), POLICY).action == action


@pytest.mark.parametrize(
    ("quality", "action"),
    [
        (BETTER, Action.ADVANCE),
        (Interval(-0.02, -0.04, 0.0), Action.ADVANCE),
        (UNSURE, Action.HOLD),
        (WORSE, Action.ROLL_BACK),
    ],
)
def test_or_not_worse_by_more_than_the_margin(quality: Interval, action: Action) -> None:
    policy = replace(POLICY, aim="non-inferiority", margin=0.05)
    assert decide(replace(FINE, step=2, quality=quality), policy).action == action


def test_at_the_last_step_there_is_no_stable_arm_to_wait_for() -> None:
    last = replace(FINE, step=3, age_seconds={"stable": 4000.0, "canary": 0.1})
    assert decide(last, POLICY).action == Action.PROMOTE
    assert decide(replace(last, age_seconds={"stable": 0.1, "canary": 4000.0}), POLICY).action == Action.HOLD


def test_an_inconclusive_rollout_ends_at_its_deadline() -> None:
    late = replace(FINE, step=2, quality=UNSURE, seconds=3601)
    decision = decide(late, POLICY)
    assert (decision.action, decision.reason) == (Action.ROLL_BACK, ReasonCode.DEADLINE_EXCEEDED)


def test_a_deadline_takes_nothing_back_from_who_was_proven_better() -> None:
    late = replace(FINE, step=3, seconds=4000, step_seconds=1.0, quality=BETTER)
    assert decide(late, POLICY).action == Action.HOLD
    assert decide(replace(late, step_seconds=61.0), POLICY).action == Action.PROMOTE
    assert decide(replace(late, age_seconds={"canary": 4000.0}), POLICY).action == Action.HOLD
    assert decide(replace(late, mismatch=LOUD), POLICY).action == Action.ROLL_BACK


def test_an_alarm_after_the_deadline_is_still_an_alarm() -> None:
    late = decide(replace(FINE, mismatch=LOUD, seconds=3601), POLICY)
    assert late.reason == ReasonCode.SAMPLE_RATIO_MISMATCH


def test_a_decision_that_moves_the_rollout_has_a_reason() -> None:
    decisions = [decide(replace(FINE, step=step, quality=BETTER), POLICY) for step in range(4)]
    assert [decision.reason for decision in decisions] == [
        ReasonCode.GUARDRAILS_PASSED,
        ReasonCode.GUARDRAILS_PASSED,
        ReasonCode.QUALITY_PROVEN,
        ReasonCode.FINAL_STEP_PASSED,
    ]
    unsure = [decide(replace(FINE, step=2, quality=each), POLICY).reason for each in (UNSURE, UNKNOWN)]
    assert unsure == [ReasonCode.QUALITY_INCONCLUSIVE, ReasonCode.TOO_FEW_QUALITY_USERS]


def test_alarms_share_their_level() -> None:
    assert POLICY.alarm_alpha == pytest.approx(0.01 / 7)
