"""The analysis of a step as a Job: it ends when it knows, by its exit code."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marquee.errors import ConfigError
from marquee.events import Exposure, encode
from marquee.model.fitted_model import write_model
from marquee.rollout.decision import Action, Decision, ReasonCode
from service import analysis
from service.analysis import Analysis, ExitCode, read_policy
from tests.support.models import small_arrays
from tests.support.openapi_checks import DESCRIPTION
from tests.support.rollout_steps import POLICY, POPULARITY, policy_file, write_users


@pytest.mark.parametrize(
    ("better", "slow", "reason"),
    [
        (0.4, 0.0, ReasonCode.QUALITY_PROVEN),
        (-0.25, 0.0, ReasonCode.QUALITY_WORSE),
        (0.4, 0.5, ReasonCode.LATENCY),
    ],
)
def test_a_step_is_judged_by_the_first_list_of_each_user(
    tmp_path: Path, better: float, slow: float, reason: ReasonCode
) -> None:
    began = time.time() - 100
    write_users(tmp_path / "events", began, better=better, slow=slow)
    analysis = Analysis(
        read_policy(policy_file(tmp_path)), tmp_path / "events", 0, began, popularity=POPULARITY
    )
    decision = analysis.look(began + 50)
    expected = Action.ADVANCE if reason == ReasonCode.QUALITY_PROVEN else Action.ROLL_BACK
    assert (decision.action, decision.reason) == (expected, reason)


def test_an_arm_may_have_any_name(tmp_path: Path) -> None:
    began = time.time() - 100
    write_users(tmp_path / "events", began, better=-0.25)
    told = read_policy(policy_file(tmp_path))
    analysis = Analysis(told, tmp_path / "events", 0, began, arm="stable", popularity=POPULARITY)
    assert analysis.look(began + 50).action == Action.ADVANCE


def test_without_events_it_waits(tmp_path: Path) -> None:
    began = time.time()
    analysis = Analysis(read_policy(policy_file(tmp_path)), tmp_path / "events", 0, began)
    decision = analysis.look(began + 50)
    assert (decision.action, decision.reason) == (Action.HOLD, ReasonCode.NO_DATA)


def test_levels_are_shared_among_the_steps(tmp_path: Path) -> None:
    assert read_policy(policy_file(tmp_path)).policy.alpha == 0.025


def test_the_job_ends_with_a_code_and_says_why(tmp_path: Path) -> None:
    path = policy_file(tmp_path, deadline_seconds=0.5)
    options = ["--policy", str(path), "--events", str(tmp_path), "--step", "0"]
    command = [sys.executable, "-m", "service.analysis", *options]
    write_model(tmp_path / "model", small_arrays({"u1": ([], [0])}, ["i1", "i2"]), DESCRIPTION)
    told = {**os.environ, "MARQUEE_MODEL": str(tmp_path / "model")}
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=60)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["action"]) == (ExitCode.ROLL_BACK, "roll back")
    assert last["reason"] == ReasonCode.DEADLINE_EXCEEDED
    assert "inconclusive" in last["message"]


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """Arguments of a Job that would look at a step without events."""
    write_model(tmp_path / "model", small_arrays({"u1": ([], [0])}, ["i1", "i2"]), DESCRIPTION)
    monkeypatch.setenv("MARQUEE_MODEL", str(tmp_path / "model"))
    return ["--policy", str(policy_file(tmp_path)), "--events", str(tmp_path), "--step", "0"]


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["analysis", *arguments])
    with pytest.raises(SystemExit) as ended:
        analysis.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("advance", ExitCode.GO_ON),
        ("promote", ExitCode.GO_ON),
        ("roll back", ExitCode.ROLL_BACK),
        ("dance", ExitCode.INTERNAL_ERROR),
    ],
)
def test_a_verdict_has_an_exit_code_and_an_unknown_one_is_an_internal_error(
    options: Sequence[str], monkeypatch: pytest.MonkeyPatch, action: Any, code: ExitCode
) -> None:
    monkeypatch.setattr(
        Analysis, "look", lambda *_: Decision(action, ReasonCode.QUALITY_PROVEN, "for a reason")
    )
    assert exit_code(monkeypatch, *options) == code


def test_a_defect_is_an_internal_error_with_a_traceback(
    options: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> Decision:
        raise ZeroDivisionError

    monkeypatch.setattr(Analysis, "look", broken)
    assert exit_code(monkeypatch, *options) == ExitCode.INTERNAL_ERROR
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--step", "7"], ["--policy", "nowhere.json"], ["--step", "first"]])
def test_wrong_input_is_told_in_its_last_line_and_has_its_own_exit_code(
    options: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: Sequence[str],
) -> None:
    assert exit_code(monkeypatch, *options, *wrong) == ExitCode.INVALID_INPUT
    assert wrong[1] in capsys.readouterr().err.splitlines()[-1]


def test_a_model_that_cannot_be_read_is_wrong_input(
    options: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model" / "manifest.json").unlink()
    assert exit_code(monkeypatch, *options) == ExitCode.INVALID_INPUT


def test_no_interpreter_shell_or_signal_exits_with_the_code_of_a_rollback() -> None:
    assert ExitCode.ROLL_BACK not in {0, 1, 2, 120, 126, 127, *range(64, 79), *range(128, 256)}


def test_lists_of_what_is_popular_are_seen_and_who_does_not_know_it_waits(tmp_path: Path) -> None:
    """A canary that shows everybody the five most popular items, where stable shows any of fifty."""
    began, rng = time.time() - 100, np.random.default_rng(0)
    popularity = {f"i{item}": (0.15 if item < 5 else 0.25 / 45) for item in range(50)}
    popular = tuple(f"i{item}" for item in range(5))
    events = []
    for user in range(600):
        arm = "canary" if rng.random() < 0.5 else "stable"
        items = popular if arm == "canary" else tuple(f"i{item}" for item in rng.permutation(50)[:5])
        events.append(
            Exposure(f"r{user}", began + 2 + user / 600, f"u{user}", arm, "1", "personal", items, 1)
        )
    (tmp_path / "events" / "r").mkdir(parents=True)
    lines = b"".join(encode(event) + b"\n" for event in events)
    (tmp_path / "events" / "r" / f"exposure-{int(began * 1000)}-000001.jsonl").write_bytes(lines)
    tolerance = POLICY["tolerance"] | {"popularity": 0.02}
    told = read_policy(policy_file(tmp_path, tolerance=tolerance))
    decision = Analysis(told, tmp_path / "events", 0, began, popularity=popularity).look(began + 50)
    assert (decision.action, decision.reason) == (Action.ROLL_BACK, ReasonCode.POPULARITY_DRIFT)
    blind = Analysis(told, tmp_path / "events", 0, began).look(began + 50)
    assert (blind.action, blind.reason) == (Action.HOLD, ReasonCode.TOO_FEW_DRIFT_USERS)
    assert "popularity" in blind.message


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "no policy"), ("[]", "no policy"), ('{"objective": 1}', "no policy"), (None, "cannot be read")],
)
def test_a_policy_that_is_none_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "policy.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_policy(path)


def test_a_field_too_many_and_a_step_too_far_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks or adds alpah"):
        read_policy(policy_file(tmp_path, alpah=0.05))
    with pytest.raises(ConfigError, match="rollback"):
        read_policy(policy_file(tmp_path, at_deadline="rollback"))
    with pytest.raises(ConfigError, match="numbered from 0"):
        Analysis(read_policy(policy_file(tmp_path)), tmp_path, 2, 0.0)
    with pytest.raises(ConfigError, match="nobody to compare with"):
        Analysis(read_policy(policy_file(tmp_path)), tmp_path, 1, 0.0)
