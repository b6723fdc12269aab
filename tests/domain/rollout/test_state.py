"""Rollout state: it follows from the journal entries alone, and a conclusion is final."""

from typing import Any

import pytest

from marquee.errors import MarqueeError
from marquee.rollout.decision_types import Action, ReasonCode
from marquee.rollout.state import JOURNAL_VERSION, RolloutOutcome, replay

STARTED: dict[str, Any] = {
    "entry": "started",
    "version": JOURNAL_VERSION,
    "time": 1.0,
    "name": "r",
    "salt": 7,
    "champion": 1,
    "challenger": 2,
    "bento": "b",
    "run_id": None,
    "params": {},
}


def allocation_set(time: float, allocation: float) -> dict[str, Any]:
    return {"entry": "allocation_set", "time": time, "allocation": allocation}


def held(reason: str, message: str) -> dict[str, Any]:
    return {"entry": "held", "time": 2.0, "reason": reason, "message": message}


def concluded(outcome: str, reason: str, message: str) -> dict[str, Any]:
    return {"entry": "concluded", "time": 3.0, "outcome": outcome, "reason": reason, "message": message}


def command(name: str, time: float = 2.0) -> dict[str, Any]:
    return {"entry": "operator_command", "time": time, "command": name}


def test_allocation_is_that_of_last_step() -> None:
    rollout = replay([STARTED, allocation_set(2.0, 0.1), allocation_set(9.0, 0.5)])
    assert (rollout.step, rollout.allocation, rollout.step_started_at) == (1, 0.5, 9.0)
    assert rollout.is_running


def test_first_confirmation_of_a_step_counts() -> None:
    early, first, second, third = (
        {"entry": "allocation_confirmed", "time": time} for time in (1.5, 3.0, 4.0, 6.0)
    )
    entries = [STARTED, early, allocation_set(2.0, 0.1), first, second, allocation_set(5.0, 0.5), third]
    assert replay(entries).confirmation_times == (3.0, 6.0)


def test_allocation_is_zero_before_first_step() -> None:
    rollout = replay([STARTED])
    assert (rollout.step, rollout.allocation) == (-1, 0.0)


def test_rollback_is_never_undone() -> None:
    rollback = concluded("rolled back", "error_rate", "errors")
    later = [
        allocation_set(4.0, 1.0),
        command("promote", 4.0),
        concluded("promoted", "final_step_passed", "late"),
        held("no_data", "late"),
    ]
    rollout = replay([STARTED, allocation_set(2.0, 0.1), rollback, *later])
    assert (rollout.outcome, rollout.message) == (RolloutOutcome.ROLLED_BACK, "errors")
    assert (rollout.allocation, rollout.reason) == (0.0, ReasonCode.ERROR_RATE)


def test_promoted_rollout_keeps_its_allocation_until_it_is_finished() -> None:
    promotion = concluded("promoted", "final_step_passed", "no alarm")
    promoted = replay([STARTED, allocation_set(2.0, 1.0), promotion])
    assert (promoted.is_running, promoted.allocation) == (True, 1.0)
    finished = replay([{"entry": "finished", "time": 7.0}], promoted)
    assert (finished.is_running, finished.allocation) == (False, 0.0)


def test_operator_commands_pause_resume_and_roll_back() -> None:
    assert replay([STARTED, command("pause")]).is_paused
    assert not replay([STARTED, command("pause"), command("resume", 3.0)]).is_paused
    assert replay([STARTED, command("roll back")]).operator_action == Action.ROLL_BACK


def test_outages_shortly_after_one_another_are_merged() -> None:
    def outage(start: float, end: float) -> list[dict[str, Any]]:
        unavailable = {"entry": "canary_unavailable", "time": start, "since": start}
        return [unavailable, {"entry": "canary_available", "time": end}]

    rollout = replay([STARTED, *outage(10.0, 20.0), *outage(24.0, 30.0), *outage(40.0, 50.0)])
    assert rollout.outages == ((10.0, 30.0), (40.0, 50.0))
    assert not rollout.has_ongoing_outage
    assert replay([STARTED, *outage(10.0, 20.0)[:1]]).has_ongoing_outage


def test_reason_is_that_of_last_hold_or_of_conclusion() -> None:
    rollout = replay([STARTED, held("step_too_short", "too early"), held("no_data", "no requests")])
    assert (rollout.reason, rollout.message) == (ReasonCode.NO_DATA, "no requests")
    rollout = replay([concluded("promoted", "operator_command", "by command")], rollout)
    assert (rollout.reason, rollout.message) == (ReasonCode.OPERATOR_COMMAND, "by command")


def test_unknown_reason_code_of_later_version_keeps_its_message() -> None:
    rollout = replay([STARTED, concluded("rolled back", "moon_phase", "the moon is full")])
    assert (rollout.outcome, rollout.reason) == (RolloutOutcome.ROLLED_BACK, None)
    assert rollout.message == "the moon is full"


def test_unknown_entries_change_nothing() -> None:
    assert replay([STARTED, {"entry": "noted", "time": 2.0}]) == replay([STARTED])
    assert replay([STARTED, command("rewind")]) == replay([STARTED])


def test_empty_journal_is_rejected() -> None:
    with pytest.raises(MarqueeError, match="the journal is empty"):
        replay([])


def test_journal_without_start_is_rejected() -> None:
    with pytest.raises(MarqueeError, match="the first entry must be 'started'"):
        replay([allocation_set(1.0, 0.1)])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**STARTED, "entry": "began"}, r"earlier version of Marquee \(format 1, expected 2\)"),
        ({**STARTED, "version": 3}, r"another version of Marquee \(format 3, expected 2\)"),
    ],
)
def test_journal_of_another_version_is_rejected(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(MarqueeError, match=message):
        replay([entry])
