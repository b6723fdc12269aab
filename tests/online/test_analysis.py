"""The analysis of a step as a Job: it ends when it knows, by its exit code."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from described import DESCRIPTION
from served import small_arrays

from marquee.decision import Action, ReasonCode
from marquee.errors import ConfigError
from marquee.events import Event, Exposure, Feedback, encode
from marquee.model import write_model
from service.analysis import Analysis, read_policy

POLICY: dict[str, Any] = {
    "steps": [0.5, 1.0], "aim": "superiority", "margin": 0.0, "alpha": 0.05, "guardrail_alpha": 0.01,
    "tolerance": {
        "errors": 1.5, "slow": 2.0, "below_personal": 1.5, "empty": 1.0, "popularity": 1.0, "overlap": 1.0,
    },
    "step_seconds": 10, "step_users": 50, "quality_users": 50, "drift_users": 50,
    "stale_seconds": 1000, "unhealthy_seconds": 60,
    "max_restarts": 0, "deadline_seconds": 10000, "at_deadline": "roll back",
    "objective": "click_through", "window_seconds": 5, "slow_ms": 100, "max_outcome": None,
}  # fmt: skip


POPULARITY = {f"i{item}": 0.02 for item in range(50)}


def policy_file(folder: Path, **changes: Any) -> Path:
    path = folder / "policy.json"
    path.write_text(json.dumps({**POLICY, **changes}))
    return path


def write_users(folder: Path, began: float, *, better: float, slow: float = 0.0, users: int = 600) -> None:
    """Half of the requests are the canary's, whose lists are clicked more often by `better`."""
    rng = np.random.default_rng(0)
    events: dict[str, list[Event]] = {"exposure": [], "feedback": []}
    for user in range(users):
        for request in range(rng.integers(1, 4)):
            arm = "canary" if rng.random() < 0.5 else "stable"
            at = began + 2 + user / users + request / 10
            late = 200_000 if arm == "canary" and rng.random() < slow else 500
            items = tuple(f"i{item}" for item in rng.permutation(50)[:5])
            shown = Exposure(f"r{user}-{request}", at, f"u{user}", arm, "1", "personal", items, late)
            events["exposure"].append(shown)
            if rng.random() < 0.3 + (better if arm == "canary" else 0.0):
                click = Feedback(f"e{user}-{request}", at + 0.05, f"u{user}", items[0], "click", 1.0)
                events["feedback"].append(replace(click, arm=arm))
    (folder / "r").mkdir(parents=True)
    for kind, each in events.items():
        lines = b"".join(encode(event) + b"\n" for event in each)
        (folder / "r" / f"{kind}-{int(began * 1000)}-000001.jsonl").write_bytes(lines)


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
    command = [
        sys.executable,
        "-m",
        "service.analysis",
        "--policy",
        str(path),
        "--events",
        str(tmp_path),
        "--step",
        "0",
    ]
    write_model(tmp_path / "model", small_arrays({"u1": ([], [0])}, ["i1", "i2"]), DESCRIPTION)
    told = {**os.environ, "MARQUEE_MODEL": str(tmp_path / "model")}
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=60)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["action"]) == (1, "roll back")
    assert last["reason"] == ReasonCode.DEADLINE_EXCEEDED
    assert "inconclusive" in last["message"]


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
