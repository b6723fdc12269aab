"""Decisions: what is bad ends a rollout, what is unknown holds it, what is good moves it."""

import math
from dataclasses import replace

import pytest

from marquee.promotion import Drift, Evidence, Incidents, Policy, decide
from marquee.sequential import UNKNOWN, Interval

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
    at_deadline="roll back",
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
BETTER, WORSE, UNSURE = Interval(0.2, 0.1, 0.3), Interval(-0.2, -0.3, -0.1), Interval(0.0, -0.1, 0.1)


def test_without_an_alarm_more_users_get_it() -> None:
    assert decide(FINE, POLICY).action == "advance"


@pytest.mark.parametrize(
    "bad",
    [
        {"incidents": {"errors": LOUD}},
        {"drifts": {"overlap": Drift(Interval(0.5, 0.4, 0.6), alarm=True, users=(900, 100))}},
        {"mismatch": LOUD},
        {"restarts": 3},
        {"unhealthy_seconds": 21.0},
        {"quality": WORSE},
    ],
)
def test_whatever_is_bad_rolls_back_even_without_other_data(bad: dict[str, object]) -> None:
    for evidence in (FINE, replace(FINE, step_users=0, age_seconds={"stable": math.inf, "canary": math.inf})):
        assert decide(replace(evidence, **bad), POLICY).action == "roll back"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        ({"troubles": ("events cannot be read",)}, "events cannot be read"),
        ({"age_seconds": {"stable": 0.1, "canary": math.inf}}, "no data: the canary"),
        ({"age_seconds": {"stable": math.inf, "canary": 0.1}}, "no data: the stable"),
        ({"age_seconds": {"stable": 0.1, "canary": 31.0}}, "stale data"),
        ({"age_seconds": {"stable": 0.1, "canary": math.nan}}, "stale data"),
        ({"mismatch": Incidents(1, 10, math.nan, alarm=False)}, "not a number"),
        ({"quality": Interval(math.nan, math.nan, math.nan)}, "not a number"),
        ({"step_seconds": 59.0}, "1 s longer"),
        ({"step_seconds": math.nan}, "not a number"),
        ({"step_users": 99}, "99 of 100 users"),
        (
            {"drifts": {"overlap": Drift(UNKNOWN, alarm=False, users=(900, 99))}},
            "overlap of the lists is known",
        ),
    ],
)
def test_whatever_is_unknown_holds_and_is_said(unknown: dict[str, object], said: str) -> None:
    for step in range(len(POLICY.steps) - 1):
        decision = decide(
            replace(FINE, step=step, quality=BETTER) if "quality" not in unknown else FINE, POLICY
        )
        assert decision.action == "advance"
        base = replace(FINE, step=step) if "quality" in unknown else replace(FINE, step=step, quality=BETTER)
        decision = decide(replace(base, **unknown), POLICY)  # type: ignore[arg-type]
        assert decision.action == "hold"
        assert said in decision.reason


def test_no_data_at_the_deadline_never_advances() -> None:
    late = replace(FINE, seconds=4000, age_seconds={"stable": math.inf, "canary": math.inf})
    assert decide(late, POLICY).action == "roll back"
    assert decide(late, replace(POLICY, at_deadline="hold")).action == "hold"


@pytest.mark.parametrize(
    ("quality", "action"), [(BETTER, "advance"), (UNSURE, "hold"), (UNKNOWN, "hold"), (WORSE, "roll back")]
)
def test_before_everybody_gets_it_it_must_be_better(quality: Interval, action: str) -> None:
    assert decide(replace(FINE, step=2, quality=quality), POLICY).action == action


@pytest.mark.parametrize(
    ("quality", "action"),
    [(BETTER, "advance"), (Interval(-0.02, -0.04, 0.0), "advance"), (UNSURE, "hold"), (WORSE, "roll back")],
)
def test_or_not_worse_by_more_than_the_margin(quality: Interval, action: str) -> None:
    policy = replace(POLICY, aim="non-inferiority", margin=0.05)
    assert decide(replace(FINE, step=2, quality=quality), policy).action == action


def test_at_the_last_step_there_is_no_stable_arm_to_wait_for() -> None:
    last = replace(FINE, step=3, age_seconds={"stable": 4000.0, "canary": 0.1})
    assert decide(last, POLICY).action == "promote"
    assert decide(replace(last, age_seconds={"stable": 0.1, "canary": 4000.0}), POLICY).action == "hold"


def test_an_inconclusive_rollout_ends_at_its_deadline() -> None:
    late = replace(FINE, step=2, quality=UNSURE, seconds=3601)
    decision = decide(late, POLICY)
    assert (decision.action, "inconclusive" in decision.reason) == ("roll back", True)


def test_a_deadline_takes_nothing_back_from_who_was_proven_better() -> None:
    late = replace(FINE, step=3, seconds=4000, step_seconds=1.0, quality=BETTER)
    assert decide(late, POLICY).action == "hold"
    assert decide(replace(late, step_seconds=61.0), POLICY).action == "promote"
    assert decide(replace(late, age_seconds={"canary": 4000.0}), POLICY).action == "hold"
    assert decide(replace(late, mismatch=LOUD), POLICY).action == "roll back"


def test_only_a_deadline_is_late() -> None:
    assert decide(replace(FINE, step=2, quality=UNSURE, seconds=3601), POLICY).late
    assert not decide(replace(FINE, mismatch=LOUD, seconds=3601), POLICY).late


def test_alarms_share_their_level() -> None:
    assert POLICY.alarm_alpha == pytest.approx(0.01 / 7)
