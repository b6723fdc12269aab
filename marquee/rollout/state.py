"""A rollout's history and what follows from it: the journal's entries, folded into one state.

    began ─► weighed, steered, weighed, steered, ... ─► concluded ─► ended, recorded
                 asked (by a person), held (and why), out and back (the canary), at any time between

Whoever reads the same entries is in the same state: a controller that was killed at any line goes on from
there.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from marquee.errors import MarqueeError
from marquee.rollout.decision import Action, ReasonCode

Entry = Mapping[str, Any]
NEAR_S = 5.0  # outages that are no farther apart are one


class Outcome(StrEnum):
    """Outcomes of a rollout."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


class OperatorRequest(StrEnum):
    """Requests of an operator to the controller."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"


CONCLUSIONS: Mapping[Action, Outcome] = {
    Action.PROMOTE: Outcome.PROMOTED,
    Action.ROLL_BACK: Outcome.ROLLED_BACK,
}


@dataclass(frozen=True)
class Rollout:
    """Where a rollout is."""

    name: str
    began: float  # UTC seconds
    salt: int
    champion: int  # version of the registered model
    challenger: int
    bento: str  # folder of the challenger's Bento
    run_id: str | None  # in MLflow
    weighed: tuple[tuple[float, float], ...] = ()  # when a share of users was to come to the canary
    steered: tuple[float, ...] = ()  # when all gateways did so, by step
    paused: bool = False
    asked: Action | None = None  # by an operator: promote or roll back
    outcome: Outcome | None = None
    concluded: float | None = None
    reason: ReasonCode | None = None  # of the last hold or of the conclusion; None: the journal has no code
    message: str = ""  # the reason in words
    ended: float | None = None
    recorded: bool = False  # in MLflow, outcome and all
    outages: tuple[tuple[float, float], ...] = ()  # when the canary was away, or may have been: from, until
    policy: Mapping[str, Any] = field(default_factory=dict)  # parameters that it began with

    @property
    def step(self) -> int:
        """Number of the present step; -1 before the first."""
        return len(self.weighed) - 1

    @property
    def weight(self) -> float:
        """Share of users that should be in the canary now."""
        if self.outcome == Outcome.ROLLED_BACK or self.ended is not None or not self.weighed:
            return 0.0
        return self.weighed[-1][1]

    @property
    def since(self) -> float:
        """When the present step began."""
        return self.weighed[-1][0] if self.weighed else self.began

    @property
    def out(self) -> bool:
        """Whether the canary is away."""
        return bool(self.outages) and math.isinf(self.outages[-1][1])

    @property
    def running(self) -> bool:
        """Whether anything is left to do."""
        return self.ended is None


def fold(entries: Iterable[Entry], rollout: Rollout | None = None) -> Rollout:
    """The state after all entries, or after more of them.

    Raises:
        MarqueeError: the first entry is not the beginning.
    """
    for entry in entries:
        rollout = _began(entry) if rollout is None else _after(rollout, entry)
    if rollout is None:
        raise MarqueeError("the journal is empty")
    return rollout


def _began(entry: Entry) -> Rollout:
    if entry["entry"] != "began":
        raise MarqueeError(f"the journal begins with '{entry['entry']}', and not with the beginning")
    return Rollout(
        name=entry["name"],
        began=entry["time"],
        salt=entry["salt"],
        champion=entry["champion"],
        challenger=entry["challenger"],
        bento=entry["bento"],
        run_id=entry["run_id"],
        policy=entry["policy"],
    )


def _after(rollout: Rollout, entry: Entry) -> Rollout:
    """The state after one more entry. What is concluded stays so: a rollback is never undone."""
    if rollout.outcome is not None:
        match entry:
            case {"entry": "ended", "time": at}:
                return replace(rollout, ended=at)
            case {"entry": "recorded"}:
                return replace(rollout, recorded=True)
        return rollout
    changes: dict[str, Any] = {}
    match entry:
        case {"entry": "weighed", "time": at, "weight": weight}:
            changes = {"weighed": (*rollout.weighed, (at, weight))}
        case {"entry": "steered", "time": at} if len(rollout.steered) < len(rollout.weighed):
            changes = {"steered": (*rollout.steered, at)}
        case {"entry": "out", "since": since} if not rollout.out:
            near = bool(rollout.outages) and since <= rollout.outages[-1][1] + NEAR_S
            begun = rollout.outages[-1][0] if near else since
            changes = {"outages": (*(rollout.outages[:-1] if near else rollout.outages), (begun, math.inf))}
        case {"entry": "back", "time": at} if rollout.out:
            changes = {"outages": (*rollout.outages[:-1], (rollout.outages[-1][0], at))}
        case {"entry": "concluded", "time": at, "outcome": outcome, "reason": _}:
            changes = {"outcome": Outcome(outcome), "concluded": at, **_reason_of(entry)}
        case {"entry": "held", "reason": _}:
            changes = _reason_of(entry)
        case {"entry": "asked", "what": OperatorRequest.PAUSE | OperatorRequest.RESUME as what}:
            changes = {"paused": what == OperatorRequest.PAUSE}
        case {"entry": "asked", "what": OperatorRequest.PROMOTE | OperatorRequest.ROLL_BACK as what}:
            changes = {"asked": Action(what)}
    return replace(rollout, **changes)


def _reason_of(entry: Entry) -> dict[str, Any]:
    """Reason code and message of a journal entry.

    Journals from before there were codes hold the message as `reason`, and one of a later version may hold a
    code that is unknown here: both have a message and no code.
    """
    if "message" not in entry:
        return {"reason": None, "message": entry["reason"]}
    try:
        reason = ReasonCode(entry["reason"])
    except ValueError:
        reason = None
    return {"reason": reason, "message": entry["message"]}
