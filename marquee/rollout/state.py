"""Rollout state, derived from the entries of its journal.

    started ─► allocation_set, allocation_confirmed, allocation_set, ... ─► concluded ─► finished, recorded
                 operator_command, held, canary_unavailable, canary_available: at any time before the end

The same entries always give the same state, so a controller that is killed after any line can resume there.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from marquee.errors import MarqueeError
from marquee.rollout.decision_types import Action, ReasonCode

Entry = Mapping[str, Any]
JOURNAL_VERSION = 2  # version 1 named its entries differently and had no version field
MERGED_GAP_S = 5.0  # outages at most this far apart are merged


class RolloutOutcome(StrEnum):
    """Possible outcomes of a rollout."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


class OperatorCommand(StrEnum):
    """Commands that an operator can give to the controller."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"


OUTCOME_OF_ACTION: Mapping[Action, RolloutOutcome] = {
    Action.PROMOTE: RolloutOutcome.PROMOTED,
    Action.ROLL_BACK: RolloutOutcome.ROLLED_BACK,
}


class AllocationChange(NamedTuple):
    """Decision on a new allocation, which starts a step."""

    time: float  # UTC seconds
    allocation: float


class Outage(NamedTuple):
    """Period in which the canary was or may have been unavailable, in UTC seconds."""

    start: float
    end: float  # infinite while it lasts


@dataclass(frozen=True)
class Rollout:
    """State of a rollout. Times are UTC seconds."""

    name: str
    started_at: float
    salt: int  # salt of the hash that assigns users to arms
    champion: int  # version of the registered model
    challenger: int
    bento: str  # directory of the challenger's Bento
    run_id: str | None  # in MLflow
    allocations: tuple[AllocationChange, ...] = ()  # by step
    confirmation_times: tuple[float, ...] = ()  # by step: when all gateways had applied the allocation
    is_paused: bool = False
    operator_action: Action | None = None  # commanded by an operator: promote or roll back
    outcome: RolloutOutcome | None = None
    concluded_at: float | None = None
    reason: ReasonCode | None = None  # of the last hold or the conclusion; None if unknown to this version
    message: str = ""  # human-readable reason
    finished_at: float | None = None
    is_recorded: bool = False  # in MLflow
    outages: tuple[Outage, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)  # block `canary` of params.yaml at the start

    @property
    def step(self) -> int:
        """Number of the current step; -1 before the first."""
        return len(self.allocations) - 1

    @property
    def allocation(self) -> float:
        """Share of users that should be in the canary now; 0 after a rollback or the end of the rollout."""
        is_over = self.outcome == RolloutOutcome.ROLLED_BACK or self.finished_at is not None
        return 0.0 if is_over or not self.allocations else self.allocations[-1].allocation

    @property
    def step_started_at(self) -> float:
        """Start of the current step, or of the rollout before the first step."""
        return self.allocations[-1].time if self.allocations else self.started_at

    @property
    def has_ongoing_outage(self) -> bool:
        """True while an outage of the canary lasts."""
        return bool(self.outages) and math.isinf(self.outages[-1].end)

    @property
    def is_running(self) -> bool:
        """True until the outcome is in effect."""
        return self.finished_at is None


def replay(entries: Iterable[Entry], rollout: Rollout | None = None) -> Rollout:
    """Return the state after the journal entries.

    Args:
        entries: journal entries, oldest first.
        rollout: state before these entries; None if they are the whole journal.

    Raises:
        MarqueeError: there are no entries, or the first one does not start a rollout of this journal version.
    """
    for entry in entries:
        rollout = _start(entry) if rollout is None else _apply(rollout, entry)
    if rollout is None:
        raise MarqueeError("the journal is empty")
    return rollout


def _start(entry: Entry) -> Rollout:
    if entry["entry"] == "began":
        raise MarqueeError(
            f"the journal was written by an earlier version of Marquee (format 1, expected {JOURNAL_VERSION})"
        )
    if entry["entry"] != "started":
        raise MarqueeError(f"the first entry must be 'started' (got '{entry['entry']}')")
    if entry["version"] != JOURNAL_VERSION:
        raise MarqueeError(
            f"the journal was written by another version of Marquee (format {entry['version']}, "
            f"expected {JOURNAL_VERSION})"
        )
    return Rollout(
        name=entry["name"],
        started_at=entry["time"],
        salt=entry["salt"],
        champion=entry["champion"],
        challenger=entry["challenger"],
        bento=entry["bento"],
        run_id=entry["run_id"],
        params=entry["params"],
    )


def _apply(rollout: Rollout, entry: Entry) -> Rollout:
    """Return the state after one more entry; unknown entries change nothing."""
    if rollout.outcome is not None:
        return _apply_after_conclusion(rollout, entry)
    changes: dict[str, Any] = {}
    match entry:
        case {"entry": "allocation_set", "time": time, "allocation": allocation}:
            changes = {"allocations": (*rollout.allocations, AllocationChange(time, allocation))}
        case {"entry": "allocation_confirmed", "time": time}:
            if len(rollout.confirmation_times) < len(rollout.allocations):
                changes = {"confirmation_times": (*rollout.confirmation_times, time)}
        case {"entry": "canary_unavailable", "since": since} if not rollout.has_ongoing_outage:
            changes = {"outages": _start_outage(rollout.outages, since)}
        case {"entry": "canary_available", "time": time} if rollout.has_ongoing_outage:
            *earlier, current = rollout.outages
            changes = {"outages": (*earlier, Outage(current.start, time))}
        case {"entry": "concluded", "time": time, "outcome": outcome}:
            changes = {"outcome": RolloutOutcome(outcome), "concluded_at": time, **_reason_fields(entry)}
        case {"entry": "held"}:
            changes = _reason_fields(entry)
        case {"entry": "operator_command", "command": command}:
            changes = _command_fields(command)
    return replace(rollout, **changes)


def _apply_after_conclusion(rollout: Rollout, entry: Entry) -> Rollout:
    """Return the state after one more entry. A conclusion is final: a rollback is never undone."""
    match entry:
        case {"entry": "finished", "time": time}:
            return replace(rollout, finished_at=time)
        case {"entry": "recorded"}:
            return replace(rollout, is_recorded=True)
    return rollout


def _command_fields(command: str) -> dict[str, Any]:
    """Return the fields that a command changes; unknown commands of a later version change nothing."""
    match command:
        case OperatorCommand.PAUSE | OperatorCommand.RESUME:
            return {"is_paused": command == OperatorCommand.PAUSE}
        case OperatorCommand.PROMOTE | OperatorCommand.ROLL_BACK:
            return {"operator_action": Action(command)}
    return {}


def _start_outage(outages: tuple[Outage, ...], start: float) -> tuple[Outage, ...]:
    """Add an outage without an end, or reopen the last one if it ended at most `MERGED_GAP_S` before."""
    if outages and start <= outages[-1].end + MERGED_GAP_S:
        return (*outages[:-1], Outage(outages[-1].start, math.inf))
    return (*outages, Outage(start, math.inf))


def _reason_fields(entry: Entry) -> dict[str, Any]:
    """Return the reason code and message of an entry; an unknown code of a later version becomes None."""
    try:
        reason = ReasonCode(entry["reason"])
    except ValueError:
        reason = None
    return {"reason": reason, "message": entry["message"]}
