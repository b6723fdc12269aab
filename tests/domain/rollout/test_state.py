"""The journal folded: the same entries are the same state, and what is concluded stays."""

from typing import Any

import pytest

from marquee.errors import MarqueeError
from marquee.rollout.decision import Action, ReasonCode
from marquee.rollout.state import Outcome, fold

BEGAN: dict[str, Any] = {
    "entry": "began", "time": 1.0, "name": "r", "salt": 7, "champion": 1, "challenger": 2, "bento": "b",
    "run_id": None, "policy": {},
}  # fmt: skip


def weighed(time: float, weight: float) -> dict[str, Any]:
    return {"entry": "weighed", "time": time, "weight": weight}


def test_the_weight_is_that_of_the_last_step() -> None:
    rollout = fold([BEGAN, weighed(2.0, 0.1), weighed(9.0, 0.5)])
    assert (rollout.step, rollout.weight, rollout.since, rollout.running) == (1, 0.5, 9.0, True)


def test_a_step_counts_from_when_the_gateways_obeyed() -> None:
    steered = {"entry": "steered", "time": 3.0}
    assert fold([BEGAN, steered, weighed(2.0, 0.1), steered, steered]).steered == (3.0,)


def test_before_the_first_step_nobody_is_in_the_canary() -> None:
    assert (fold([BEGAN]).step, fold([BEGAN]).weight) == (-1, 0.0)


def held(reason: str, message: str) -> dict[str, Any]:
    return {"entry": "held", "time": 2.0, "reason": reason, "message": message}


def concluded(outcome: str, reason: str, message: str) -> dict[str, Any]:
    return {"entry": "concluded", "time": 3.0, "outcome": outcome, "reason": reason, "message": message}


def test_a_rollback_is_never_undone() -> None:
    back = concluded("rolled back", "error_rate", "errors")
    after = [
        weighed(4.0, 1.0),
        {"entry": "asked", "time": 4.0, "what": "promote"},
        concluded("promoted", "final_step_passed", "late"),
        held("no_data", "late"),
    ]
    rollout = fold([BEGAN, weighed(2.0, 0.1), back, *after])
    assert (rollout.outcome, rollout.message, rollout.weight) == (Outcome.ROLLED_BACK, "errors", 0.0)
    assert rollout.reason == ReasonCode.ERROR_RATE
    assert not fold([BEGAN, back, *after, {"entry": "ended", "time": 7.0}]).running


def test_people_pause_resume_and_ask() -> None:
    pause, go = (
        {"entry": "asked", "time": 2.0, "what": "pause"},
        {"entry": "asked", "time": 3.0, "what": "resume"},
    )
    assert fold([BEGAN, pause]).paused
    assert not fold([BEGAN, pause, go]).paused
    assert fold([BEGAN, {"entry": "asked", "time": 2.0, "what": "roll back"}]).asked == Action.ROLL_BACK


def test_the_reason_is_that_of_the_last_hold_or_of_the_conclusion() -> None:
    rollout = fold([BEGAN, held("no_data", "nobody asks")])
    assert (rollout.reason, rollout.message) == (ReasonCode.NO_DATA, "nobody asks")
    rollout = fold([concluded("promoted", "operator_request", "asked for")], rollout)
    assert (rollout.reason, rollout.message) == (ReasonCode.OPERATOR_REQUEST, "asked for")


@pytest.mark.parametrize("code", ["no_data", "errors: 5 of the 6 users concerned are in the canary"])
def test_journal_without_reason_codes_is_read_and_its_messages_are_no_codes(code: str) -> None:
    """Before there were codes the message was the entry's reason, whatever it looked like."""
    entry = {"entry": "concluded", "time": 3.0, "outcome": "rolled back", "reason": code, "figures": {}}
    for old in ({"entry": "held", "time": 2.0, "reason": code}, entry):
        rollout = fold([BEGAN, weighed(2.0, 0.1), old])
        assert (rollout.reason, rollout.message) == (None, code)
    assert rollout.outcome == Outcome.ROLLED_BACK


def test_reason_code_of_a_later_version_keeps_its_message() -> None:
    rollout = fold([BEGAN, concluded("rolled back", "moon_phase", "the moon is full")])
    assert (rollout.outcome, rollout.reason) == (Outcome.ROLLED_BACK, None)
    assert rollout.message == "the moon is full"


def test_an_entry_of_tomorrow_changes_nothing() -> None:
    assert fold([BEGAN, {"entry": "noted", "time": 2.0}]) == fold([BEGAN])
    assert fold([BEGAN, {"entry": "asked", "time": 2.0, "what": "rewind"}]) == fold([BEGAN])


@pytest.mark.parametrize("entries", [[], [weighed(1.0, 0.1)]])
def test_a_journal_without_a_beginning_is_refused(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(MarqueeError):
        fold(entries)
