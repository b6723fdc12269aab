"""The journal folded: the same entries are the same state, and what is concluded stays."""

from typing import Any

import pytest

from marquee.errors import MarqueeError
from marquee.rollout import fold

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


def test_a_rollback_is_never_undone() -> None:
    back = {"entry": "concluded", "time": 3.0, "outcome": "rolled back", "reason": "errors"}
    after = [
        weighed(4.0, 1.0),
        {"entry": "asked", "time": 4.0, "what": "promote"},
        {"entry": "concluded", "time": 5.0, "outcome": "promoted", "reason": "late"},
        {"entry": "held", "time": 6.0, "reason": "late"},
    ]
    rollout = fold([BEGAN, weighed(2.0, 0.1), back, *after])
    assert (rollout.outcome, rollout.reason, rollout.weight) == ("rolled back", "errors", 0.0)
    assert not fold([BEGAN, back, *after, {"entry": "ended", "time": 7.0}]).running


def test_people_pause_resume_and_ask() -> None:
    pause, go = (
        {"entry": "asked", "time": 2.0, "what": "pause"},
        {"entry": "asked", "time": 3.0, "what": "resume"},
    )
    assert fold([BEGAN, pause]).paused
    assert not fold([BEGAN, pause, go]).paused
    assert fold([BEGAN, {"entry": "asked", "time": 2.0, "what": "roll back"}]).asked == "roll back"


def test_an_entry_of_tomorrow_changes_nothing() -> None:
    assert fold([BEGAN, {"entry": "noted", "time": 2.0}]) == fold([BEGAN])


@pytest.mark.parametrize("entries", [[], [weighed(1.0, 0.1)]])
def test_a_journal_without_a_beginning_is_refused(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(MarqueeError):
        fold(entries)
