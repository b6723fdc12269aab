"""Output of `marquee canary status` and `history` for running, finished and unreadable rollouts."""

import io
import json
import math
import time
from pathlib import Path

import pytest
from rich.console import Console

from experiments.config.online import CanaryParams
from marquee.errors import MarqueeError
from marquee.rollout.arms import PerArm
from marquee.rollout.decision_types import Action, Decision, ReasonCode
from marquee.rollout.evidence import Evidence, GuardrailCounts, ListMetricDifference
from marquee.rollout.sequential_tests import UNKNOWN_INTERVAL, ConfidenceInterval
from marquee.rollout.state import OperatorCommand
from pipelines.commands import canary
from pipelines.rollout.journal import Journal, create_journal
from pipelines.rollout.params_conversion import dump_canary_params
from pipelines.rollout.status_file import STATUS_FILE, build_status, read_status, write_status
from pipelines.support.paths import STACK_FOLDER

EVIDENCE = Evidence(
    step=0,
    step_seconds=600.0,
    rollout_seconds=7300.0,
    step_users=1234,
    data_age_seconds={"stable": 0.5, "canary": math.inf},
    guardrails={
        "errors": GuardrailCounts(canary=12, total=98, p=0.25, is_alarm=False),
        "slow": GuardrailCounts(canary=30, total=31, p=1e-6, is_alarm=True),
        "below_personal": GuardrailCounts(canary=1, total=2, p=1.0, is_alarm=False),
        "empty": GuardrailCounts(canary=0, total=0, p=1.0, is_alarm=False),
    },
    list_metrics={
        "popularity": ListMetricDifference(
            ConfidenceInterval(0.003, -0.001, 0.007), is_alarm=False, users=PerArm(900, 100)
        ),
        "overlap": ListMetricDifference(UNKNOWN_INTERVAL, is_alarm=False, users=PerArm(10, 10)),
    },
    sample_ratio_mismatch=GuardrailCounts(canary=1234, total=24000, p=1.0, is_alarm=False),
    quality=ConfidenceInterval(0.0123, -0.0102, 0.034),
    quality_users=PerArm(20_123, 1_012),
)
HOLD = Decision(Action.HOLD, ReasonCode.NO_DATA, "no data: the canary arm has not answered any request yet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the stack in an empty project."""
    monkeypatch.chdir(tmp_path)
    STACK_FOLDER.mkdir(parents=True)
    return STACK_FOLDER.resolve()


@pytest.fixture
def journal(folder: Path, canary_params: CanaryParams) -> Journal:
    """Journal of a rollout in its first step."""
    journal = start_rollout(folder, "20261128-101500-v1-to-v2", canary_params)
    journal.append(
        "allocation_set", step=0, allocation=0.01, reason="canary_ready", message="the canary is ready"
    )
    return journal


def start_rollout(folder: Path, name: str, params: CanaryParams) -> Journal:
    return create_journal(
        folder,
        name,
        salt=1,
        champion=1,
        challenger=2,
        bento="b",
        run_id=None,
        params=dump_canary_params(params),
    )


def write_old_journal(folder: Path, name: str) -> Path:
    """Write the journal of a finished rollout in the first format."""
    path = folder / "rollouts" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    entries = [
        {"entry": "began", "time": 1.0, "name": name, "salt": 1, "champion": 1, "challenger": 2},
        {"entry": "weighed", "time": 2.0, "weight": 0.1, "reason": "the canary is ready"},
        {"entry": "concluded", "time": 3.0, "outcome": "rolled back", "reason": "an operator asked"},
        {"entry": "ended", "time": 4.0},
    ]
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return path


def write_observation(folder: Path, journal: Journal, age_s: float = 0.0) -> None:
    rollout = journal.read_rollout()
    status = build_status(rollout, EVIDENCE, HOLD, {"mean_stable": 0.3}, time.time() - age_s)
    write_status(folder, status)


def status_output(capsys: pytest.CaptureFixture[str]) -> str:
    canary.print_rollout_status(watch=False)
    return capsys.readouterr().out


def history_output(capsys: pytest.CaptureFixture[str]) -> str:
    canary.print_rollout_history()
    return capsys.readouterr().out


def test_status_shows_decision_and_evidence(
    folder: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    write_observation(folder, journal)
    lines = [line.split() for line in status_output(capsys).splitlines()]
    assert ["versions", "champion", "1,", "challenger", "2"] in lines
    assert ["decision", "hold:", *HOLD.message.split()] in lines
    assert ["errors", "12", "98", "0.25", "no"] in lines
    assert ["slow", "responses", "30", "31", "1e-06", "ALARM"] in lines
    assert ["all", "users", "(sample-ratio", "mismatch)", "1,234", "24,000", "1", "no"] in lines
    assert ["popularity", "of", "items", "+0.0030", "-0.0010", "to", "+0.0070", "no"] in lines
    assert ["overlap", "of", "lists", "unknown", "unknown", "no"] in lines
    assert ["quality", "(click_through)", "+0.0123", "-0.0102", "to", "+0.0340"] in lines


@pytest.mark.parametrize("width", [80, 100])
def test_output_fits_the_terminal(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    write_observation(folder, journal)
    terminal = io.StringIO()
    console = Console(file=terminal, width=width)
    monkeypatch.setattr(canary, "create_console", lambda: console)
    canary.print_rollout_status(watch=False)
    canary.print_rollout_history()
    assert max(len(line) for line in terminal.getvalue().splitlines()) <= width
    assert "…" not in terminal.getvalue()  # nothing is cut off


def test_status_shows_that_the_controller_does_not_report(
    folder: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    write_observation(folder, journal)
    assert "has not reported" not in status_output(capsys)
    write_observation(folder, journal, age_s=60)
    assert "The controller has not reported for 60 s." in status_output(capsys)


def test_status_shows_a_pause(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    assert "paused" not in status_output(capsys)
    canary.send_operator_command(OperatorCommand.PAUSE)
    assert "Command sent to 20261128-101500-v1-to-v2: pause" in capsys.readouterr().out
    assert "paused" in status_output(capsys)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1, "name": "x"}'])
def test_status_without_a_readable_status_file_shows_the_journal(
    folder: Path, journal: Journal, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (folder / STATUS_FILE).write_text(content)
    assert read_status(folder, journal.read_rollout().name) is None
    assert journal.read_rollout().name in status_output(capsys)


def test_status_file_of_an_older_version_is_ignored(
    folder: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    name = journal.read_rollout().name
    old_status = {"name": name, "time": time.time(), "action": "hold", "reason": "nobody came"}
    (folder / STATUS_FILE).write_text(json.dumps({**old_status, "incidents": {}, "drifts": {}}))
    assert read_status(folder, name) is None
    assert name in status_output(capsys)


def test_status_of_an_older_journal_is_an_error_that_names_the_file(folder: Path) -> None:
    path = write_old_journal(folder, "20261127-101500-v1-to-v2")
    with pytest.raises(MarqueeError, match=r"earlier version of Marquee .*; move the file") as error_info:
        canary.print_rollout_status(watch=False)
    assert str(path) in str(error_info.value)


def test_history_shows_other_rollouts_beside_an_older_journal(
    folder: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_old_journal(folder, "20261127-101500-v1-to-v2")
    journal.append("concluded", outcome="rolled back", reason="error_rate", message="errors: [12] of 13")
    output = history_output(capsys)
    assert "errors: [12] of 13" in output
    assert "rolled back" in output
    assert f"cannot read the rollout journal {path}: " in output
    assert "earlier version of Marquee" in output


def test_history_without_rollouts_is_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(history_output(capsys).splitlines()) == 1


def test_commands_need_a_rollout_whose_outcome_is_open(folder: Path, canary_params: CanaryParams) -> None:
    with pytest.raises(MarqueeError, match="no rollout is running"):
        canary.send_operator_command(OperatorCommand.PROMOTE)
    with pytest.raises(MarqueeError, match="there has been no rollout yet"):
        canary.print_rollout_status(watch=False)
    journal = start_rollout(folder, "one", canary_params)
    journal.append("concluded", outcome="rolled back", reason="error_rate", message="it is broken")
    with pytest.raises(MarqueeError, match="one is already being rolled back"):
        canary.send_operator_command(OperatorCommand.PROMOTE)
