"""Job that analyzes a step: decisions, exit codes, and invalid input."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from marquee.errors import ConfigError
from marquee.events import Event, Exposure
from marquee.model.fitted_model import write_model
from marquee.rollout.decision_types import Action, Decision, ReasonCode
from service import kubernetes_analysis_job as analysis_module
from service.kubernetes_analysis_job import ExitCode, StepAnalysis, read_analysis_policy
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.model_builder import build_small_model_arrays
from tests.support.rollout_steps import (
    LIST_LENGTH,
    N_ITEMS,
    POLICY,
    POPULARITY,
    write_events,
    write_policy,
    write_user_events,
)

N_POPULAR_ITEMS = 5


@pytest.mark.parametrize(
    ("click_lift", "slow_share", "action", "reason"),
    [
        (0.4, 0.0, Action.ADVANCE, ReasonCode.QUALITY_PROVEN),
        (-0.25, 0.0, Action.ROLL_BACK, ReasonCode.QUALITY_WORSE),
        (0.4, 0.5, Action.ROLL_BACK, ReasonCode.LATENCY),
    ],
)
def test_first_list_of_each_user_decides_a_step(
    tmp_path: Path, click_lift: float, slow_share: float, action: Action, reason: ReasonCode
) -> None:
    events, started_at = tmp_path / "events", time.time() - 100
    write_user_events(events, started_at, click_lift=click_lift, slow_share=slow_share)
    policy = read_analysis_policy(write_policy(tmp_path))
    analysis = StepAnalysis(policy, events, 0, started_at, popularity=POPULARITY)
    decision = analysis.process_events_and_decide(started_at + 50)
    assert (decision.action, decision.reason) == (action, reason)


def test_canary_may_have_any_arm_name(tmp_path: Path) -> None:
    events, started_at = tmp_path / "events", time.time() - 100
    write_user_events(events, started_at, click_lift=-0.25)
    policy = read_analysis_policy(write_policy(tmp_path))
    analysis = StepAnalysis(policy, events, 0, started_at, arm="stable", popularity=POPULARITY)
    assert analysis.process_events_and_decide(started_at + 50).action == Action.ADVANCE


def test_step_without_events_holds(tmp_path: Path) -> None:
    started_at = time.time()
    policy = read_analysis_policy(write_policy(tmp_path))
    decision = StepAnalysis(policy, tmp_path / "events", 0, started_at).process_events_and_decide(
        started_at + 50
    )
    assert (decision.action, decision.reason) == (Action.HOLD, ReasonCode.NO_DATA)


def test_error_rates_are_divided_among_the_steps(tmp_path: Path) -> None:
    policy = read_analysis_policy(write_policy(tmp_path)).policy
    assert policy.alpha == POLICY["alpha"] / 2
    assert policy.guardrail_alpha == POLICY["guardrail_alpha"] / 2


def test_job_prints_its_decision_and_exits_with_the_code_of_the_action(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, deadline_seconds=0.5)
    write_model(
        tmp_path / "model", build_small_model_arrays({"u1": ([], [0])}, ["i1", "i2"]), MANIFEST_FIELDS
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "service.kubernetes_analysis_job",
            f"--policy={policy}",
            f"--events={tmp_path}",
            "--step=0",
        ],
        env={**os.environ, "MARQUEE_MODEL": str(tmp_path / "model")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    decision = json.loads(result.stdout.splitlines()[-1])
    assert (result.returncode, decision["action"]) == (ExitCode.ROLL_BACK, "roll back")
    assert decision["reason"] == ReasonCode.DEADLINE_EXCEEDED
    assert "inconclusive" in decision["message"]


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """Valid arguments of the Job, for a step without events."""
    write_model(
        tmp_path / "model", build_small_model_arrays({"u1": ([], [0])}, ["i1", "i2"]), MANIFEST_FIELDS
    )
    monkeypatch.setenv("MARQUEE_MODEL", str(tmp_path / "model"))
    return ["--policy", str(write_policy(tmp_path)), "--events", str(tmp_path), "--step", "0"]


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run the Job in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["analysis", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        analysis_module.main()
    return exit_info.value.code


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (Action.ADVANCE, ExitCode.PROCEED),
        (Action.PROMOTE, ExitCode.PROCEED),
        (Action.ROLL_BACK, ExitCode.ROLL_BACK),
    ],
)
def test_each_final_action_has_an_exit_code(
    options: Sequence[str], monkeypatch: pytest.MonkeyPatch, action: Action, code: ExitCode
) -> None:
    decision = Decision(action, ReasonCode.QUALITY_PROVEN, "for a reason")
    monkeypatch.setattr(StepAnalysis, "process_events_and_decide", lambda *_: decision)
    assert run_main(monkeypatch, *options) == code


def test_action_without_an_exit_code_is_an_internal_error(
    options: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis_module, "EXIT_CODES", {})
    decision = Decision(Action.ADVANCE, ReasonCode.QUALITY_PROVEN, "for a reason")
    monkeypatch.setattr(StepAnalysis, "process_events_and_decide", lambda *_: decision)
    assert run_main(monkeypatch, *options) == ExitCode.INTERNAL_ERROR


def test_defect_is_an_internal_error_with_a_traceback(
    options: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Decision:
        raise ZeroDivisionError

    monkeypatch.setattr(StepAnalysis, "process_events_and_decide", fail)
    assert run_main(monkeypatch, *options) == ExitCode.INTERNAL_ERROR
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "invalid", [["--step", "7"], ["--policy", "nowhere.json"], ["--step", "first"]], ids=" ".join
)
def test_invalid_argument_is_named_in_the_last_line_and_has_its_own_exit_code(
    options: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    invalid: Sequence[str],
) -> None:
    assert run_main(monkeypatch, *options, *invalid) == ExitCode.INVALID_INPUT
    assert invalid[1] in capsys.readouterr().err.splitlines()[-1]


def test_unreadable_model_is_invalid_input(
    options: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model" / "manifest.json").unlink()
    assert run_main(monkeypatch, *options) == ExitCode.INVALID_INPUT


def test_no_interpreter_shell_or_signal_exits_with_the_code_of_a_rollback() -> None:
    assert ExitCode.ROLL_BACK not in {0, 1, 2, 120, 126, 127, *range(64, 79), *range(128, 256)}


def write_users_with_popular_canary(folder: Path, started_at: float) -> dict[str, float]:
    """Write events in which canary lists contain only popular items; return the popularity of all items."""
    rng = np.random.default_rng(0)
    popular_items = [f"i{item}" for item in range(N_POPULAR_ITEMS)]
    exposures: list[Event] = []
    for user in range(600):
        arm = "canary" if rng.random() < 0.5 else "stable"
        items = popular_items
        if arm == "stable":
            items = [f"i{item}" for item in rng.permutation(N_ITEMS)[:LIST_LENGTH]]
        seen_at = started_at + 2 + user / 600
        exposures.append(Exposure(f"r{user}", seen_at, f"u{user}", arm, "1", "personal", tuple(items), 1))
    write_events(folder, started_at, "exposure", exposures)
    others = {f"i{item}": 0.25 / (N_ITEMS - N_POPULAR_ITEMS) for item in range(N_POPULAR_ITEMS, N_ITEMS)}
    return {**dict.fromkeys(popular_items, 0.15), **others}


def test_popular_lists_raise_an_alarm_and_unknown_popularity_holds(tmp_path: Path) -> None:
    events, started_at = tmp_path / "events", time.time() - 100
    popularity = write_users_with_popular_canary(events, started_at)
    max_increase = POLICY["max_increase"] | {"popularity": 0.02}
    policy = read_analysis_policy(write_policy(tmp_path, max_increase=max_increase))
    analysis = StepAnalysis(policy, events, 0, started_at, popularity=popularity)
    decision = analysis.process_events_and_decide(started_at + 50)
    assert (decision.action, decision.reason) == (Action.ROLL_BACK, ReasonCode.LIST_POPULARITY)
    decision = StepAnalysis(policy, events, 0, started_at).process_events_and_decide(started_at + 50)
    assert (decision.action, decision.reason) == (Action.HOLD, ReasonCode.TOO_FEW_LIST_USERS)
    assert "popularity" in decision.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a valid policy"),
        ("[]", "missing or unknown fields"),
        ('{"objective": 1}', "missing or unknown fields"),
        (None, "cannot read the policy"),
    ],
)
def test_invalid_policy_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "policy.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_analysis_policy(path)


def test_unknown_field_and_invalid_value_of_a_policy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing or unknown fields: alpah"):
        read_analysis_policy(write_policy(tmp_path, alpah=0.05))
    with pytest.raises(ConfigError, match="rollback"):
        read_analysis_policy(write_policy(tmp_path, at_deadline="rollback"))


@pytest.mark.parametrize(("step", "message"), [(2, "between 0 and 1"), (1, "no stable arm is left")])
def test_step_that_cannot_be_analyzed_is_refused(tmp_path: Path, step: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StepAnalysis(read_analysis_policy(write_policy(tmp_path)), tmp_path, step, 0.0)
