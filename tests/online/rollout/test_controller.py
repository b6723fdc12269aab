"""The controller dies before or after any of its acts, and the next one brings everything to one state."""

import errno
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from experiments.config.offline import load_params
from marquee.errors import TrackingError
from marquee.rollout.decision import Action, Decision, ReasonCode
from marquee.rollout.state import OperatorRequest, Outcome, Rollout
from pipelines.commands.up import laid_out
from pipelines.rollout.controller import Controller
from pipelines.rollout.journal import Journal, active, create, journals
from pipelines.rollout.policy_config import policy_of, told_of
from pipelines.rollout.reporter import Telling
from service.gateway.traffic_split import NOBODY, Split
from service.stack.stack_config import CANARY, STABLE, Arm, Stack

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml")
OLD, NEW = Arm("/bentos/old", 1), Arm("/bentos/new", 2)


class Killed(BaseException):
    """SIGKILL: nothing catches it."""


@dataclass
class World:
    """What a controller changes and depends on, outside of itself; it can die at any act."""

    split: Split = NOBODY
    arms: dict[str, Arm] = field(default_factory=lambda: {STABLE: OLD})
    champion: int = 1
    acts: int = 0
    dies_at: int = -1  # an even number: before that act; an odd one: after it
    history: list[tuple[float, int]] = field(default_factory=list)  # weights, and the champion then
    seconds: float = 0.0  # on the clock
    missed: float | None = None  # since when the canary may have been away
    canary_starts: bool = True
    gateways_obey: bool = True
    can_write_split: bool = True
    can_write_journal: bool = True

    def act(self, change: Callable[[], None]) -> None:
        """Change something, or die over it."""
        self._die(2 * self.acts)
        change()
        self.history.append((self.split.weight, self.champion))
        self._die(2 * self.acts + 1)
        self.acts += 1

    def _die(self, now: int) -> None:
        if now == self.dies_at:
            self.dies_at = -1  # once
            raise Killed


class WorldActuator:
    """As the real one: each method brings about a state, and does nothing where it is there."""

    answered = True

    def __init__(self, world: World) -> None:
        self._world = world

    def is_canary_ready(self) -> bool:
        return self._world.canary_starts and CANARY in self._world.arms

    def split(self, split: Split) -> bool:
        if not self._world.can_write_split and split != NOBODY:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._world.gateways_obey and self._world.split != split:
            self._world.act(lambda: setattr(self._world, "split", split))
        return self._world.gateways_obey

    def raise_canary(self, arm: Arm) -> None:
        if self._world.arms.get(CANARY) != arm:
            self._world.act(lambda: self._world.arms.update({CANARY: arm}))

    def end_canary(self) -> None:
        if CANARY in self._world.arms:
            self._world.act(lambda: self._world.arms.pop(CANARY) and None)

    def crown(self, arm: Arm) -> None:
        if self._world.arms[STABLE] != arm:
            self._world.act(lambda: self._world.arms.update({STABLE: arm}))


class WorldObserver:
    """Hands the rollout over as its evidence, for a test to decide on."""

    policy = policy_of(PARAMS.canary)

    def __init__(self, world: World) -> None:
        self._world = world

    def missed(self, now: float) -> float | None:
        return self._world.missed

    def look(self, rollout: Rollout, now: float) -> Any:
        return rollout

    def shown(self) -> dict[str, float]:
        return {}


class WorldJournal(Journal):
    """A journal whose entries are acts."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(path)
        self._world = world

    def append(self, entry: str, **told: Any) -> None:
        if not self._world.can_write_journal:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._world.act(lambda: super(WorldJournal, self).append(entry, **told))


class OutcomeReporter(Telling):
    """Reports outcomes, and no looks: their evidence is none here."""

    def of_look(self, *_: object) -> None:
        pass


@dataclass
class Stage:
    """A stack in a folder, a world, and controllers one after the other."""

    stack: Stack
    world: World
    decisions: Callable[[Rollout], Decision]
    reporter: Callable[[Path], OutcomeReporter] = OutcomeReporter

    def controller(self) -> Controller:
        """One that has just been started."""
        return Controller(
            self.stack,
            "marquee",
            actuator=WorldActuator(self.world),
            reporter=self.reporter(self.stack.folder),
            observe=lambda *_: WorldObserver(self.world),
            decide=lambda rollout, _: self.decisions(rollout),
            promote_to_champion=self._promote,
            find_journal=self._journal,
            clock=lambda: self.world.seconds,
        )

    def _journal(self, folder: Path) -> Journal | None:
        found = active(folder)
        return None if found is None else WorldJournal(found.path, self.world)

    def _promote(self, _: str, version: int) -> None:
        if self.world.champion != version:
            self.world.act(lambda: setattr(self.world, "champion", version))

    def run(self) -> None:
        """Controllers until the rollout is over; each that dies is followed by another."""
        controller = self.controller()
        for _ in range(60):
            try:
                controller.tick()
            except Killed:
                controller = self.controller()
            if active(self.stack.folder) is None:
                controller.tick()
                return
        pytest.fail("the rollout never ends")


def stage(tmp_path: Path, decisions: Callable[[Rollout], Decision], dies_at: int = -1) -> Stage:
    stack = laid_out(PARAMS, tmp_path, replicas=1, port=3000, host="*", events=tmp_path / "events")
    stack.save()
    told: dict[str, Any] = {"salt": 7, "champion": 1, "challenger": 2, "bento": NEW.bento, "run_id": None}
    create(tmp_path, "one", policy=told_of(PARAMS.canary), **told)
    return Stage(stack, World(dies_at=dies_at), decisions)


def with_a_run(folder: Path) -> Journal:
    """The journal, of a rollout that has a run in MLflow."""
    journal = journals(folder)[-1]
    journal.path.write_text(journal.path.read_text().replace('"run_id": null', '"run_id": "0f0f"'))
    return journal


HOLD = Decision(Action.HOLD, ReasonCode.NO_DATA, "no data")
ADVANCE = Decision(Action.ADVANCE, ReasonCode.GUARDRAILS_PASSED, "fine so far")
PROMOTE = Decision(Action.PROMOTE, ReasonCode.FINAL_STEP_PASSED, "it is better")
ROLL_BACK = Decision(Action.ROLL_BACK, ReasonCode.ERROR_RATE, "it is broken")


def better(rollout: Rollout) -> Decision:
    return PROMOTE if rollout.step == 4 else ADVANCE


def broken(rollout: Rollout) -> Decision:
    return ROLL_BACK if rollout.step == 1 else ADVANCE


MOMENTS = {better: 46, broken: 24}  # before and after each act


@pytest.mark.parametrize(
    ("decisions", "dies_at"), [(how, at) for how, most in MOMENTS.items() for at in range(-1, most)]
)
def test_whenever_it_dies_there_is_one_champion_and_nobody_in_a_canary_in_the_end(
    tmp_path: Path, decisions: Callable[[Rollout], Decision], dies_at: int
) -> None:
    acted = stage(tmp_path, decisions, dies_at)
    acted.run()
    world, rollout = acted.world, journals(tmp_path)[-1].rollout()
    promoted = decisions is better
    assert rollout.outcome == (Outcome.PROMOTED if promoted else Outcome.ROLLED_BACK)
    assert world.split == NOBODY
    assert world.arms == {STABLE: NEW if promoted else OLD}
    assert world.champion == (2 if promoted else 1)
    # The champion changes once, when everybody has the challenger; a rollback gives nobody to it again.
    changed = [weight for weight, champion in world.history if champion == 2]
    assert (changed[0] == 1.0) if promoted else not changed
    if not promoted:
        weights = [weight for weight, _ in world.history]
        assert weights[weights.index(max(weights)) :] == sorted(
            weights[weights.index(max(weights)) :], reverse=True
        )
    steps = [entry["weight"] for entry in journals(tmp_path)[-1].entries() if entry["entry"] == "weighed"]
    assert steps == sorted(set(steps))  # no step is taken twice


@pytest.mark.parametrize("decisions", MOMENTS)
def test_it_died_at_every_moment_that_there_is(
    tmp_path: Path, decisions: Callable[[Rollout], Decision]
) -> None:
    acted = stage(tmp_path, decisions)
    acted.run()
    assert 2 * acted.world.acts == MOMENTS[decisions]


@pytest.mark.parametrize("what", [OperatorRequest.PROMOTE, OperatorRequest.ROLL_BACK])
def test_a_wish_that_was_written_while_no_controller_ran_is_carried_out(
    tmp_path: Path, what: OperatorRequest
) -> None:
    acted = stage(tmp_path, lambda _: HOLD)
    for _ in range(3):
        acted.controller().tick()
    journals(tmp_path)[-1].append("asked", what=what)
    acted.run()
    assert acted.world.champion == (2 if what == OperatorRequest.PROMOTE else 1)


def test_a_person_is_obeyed_though_no_evidence_can_be_read(tmp_path: Path) -> None:
    def unreadable(_: Rollout) -> Decision:
        raise OSError("the disk is gone")

    acted = stage(tmp_path, unreadable)
    controller = acted.controller()
    controller.tick()
    with pytest.raises(OSError, match="gone"):
        controller.tick()
    assert active(tmp_path) is not None
    journals(tmp_path)[-1].append("asked", what=OperatorRequest.ROLL_BACK)
    acted.run()
    assert acted.world.split == NOBODY


def test_a_tracking_store_that_is_silent_stops_no_rollback(tmp_path: Path) -> None:
    silent = threading.Event()

    class Silent:
        def __init__(self, _: str) -> None: ...

        def end(self, *_: object) -> None:
            silent.wait(5)

    acted = stage(tmp_path, broken)
    acted.reporter = partial(OutcomeReporter, open_run=Silent, record_s=0.1)
    journal = with_a_run(tmp_path)
    acted.run()
    silent.set()
    assert journal.rollout().outcome == Outcome.ROLLED_BACK
    assert active(tmp_path) is None


def test_a_pause_holds_and_still_hears_alarms(tmp_path: Path) -> None:
    decision = [ADVANCE]
    acted = stage(tmp_path, lambda _: decision[0])
    controller = acted.controller()
    for _ in range(2):
        controller.tick()
    journal = journals(tmp_path)[-1]
    journal.append("asked", what=OperatorRequest.PAUSE)
    step = journal.rollout().step
    for _ in range(3):
        controller.tick()
    assert (journal.rollout().step, journal.rollout().reason) == (step, ReasonCode.PAUSED)
    decision[0] = ROLL_BACK
    acted.run()
    assert journal.rollout().outcome == Outcome.ROLLED_BACK


def test_a_rollback_needs_no_tracking_store(tmp_path: Path) -> None:
    def gone(_: str) -> None:
        raise TrackingError("the tracking store cannot be reached")

    acted = stage(tmp_path, broken)
    acted.reporter = partial(OutcomeReporter, open_run=gone)
    journal = with_a_run(tmp_path)
    acted.run()
    assert journal.rollout().outcome == Outcome.ROLLED_BACK
    assert acted.world.split == NOBODY


def test_an_outcome_that_mlflow_did_not_take_is_offered_until_it_does(tmp_path: Path) -> None:
    taken: list[tuple[object, ...]] = []

    class Away:
        gone = True

        def __init__(self, _: str) -> None: ...

        def end(self, *told: object) -> None:
            if Away.gone:
                raise TrackingError("the tracking store cannot be reached")
            taken.append(told)

    acted = stage(tmp_path, broken)
    acted.reporter = partial(OutcomeReporter, open_run=Away, again_s=0.0)
    journal = with_a_run(tmp_path)
    acted.run()
    assert (journal.rollout().running, journal.rollout().recorded) == (False, False)
    Away.gone = False
    later = acted.controller()
    for _ in range(3):
        later.tick()
    assert journal.rollout().recorded
    assert [told[:3] for told in taken] == [(Outcome.ROLLED_BACK, ReasonCode.ERROR_RATE, "it is broken")]


def test_a_full_disk_keeps_nobody_in_a_canary_that_is_bad(tmp_path: Path) -> None:
    acted = stage(tmp_path, broken)
    controller = acted.controller()
    while acted.world.split.weight < PARAMS.canary.steps[1]:
        controller.tick()
    acted.world.can_write_journal = False
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            controller.tick()
        assert acted.world.split == NOBODY
    acted.world.can_write_journal = True
    controller.tick()
    assert journals(tmp_path)[-1].rollout().reason == ReasonCode.ERROR_RATE
    assert acted.world.arms == {STABLE: OLD}


def test_where_users_cannot_be_steered_alarms_are_heard_still(tmp_path: Path) -> None:
    acted = stage(tmp_path, broken)
    controller = acted.controller()
    for _ in range(2):
        controller.tick()
    acted.world.can_write_split = False
    acted.decisions = lambda _: ROLL_BACK
    controller.tick()
    assert journals(tmp_path)[-1].rollout().outcome == Outcome.ROLLED_BACK
    assert acted.world.split == NOBODY


def test_a_gateway_that_does_not_take_the_weight_ends_the_rollout(tmp_path: Path) -> None:
    acted = stage(tmp_path, lambda _: HOLD)
    controller = acted.controller()
    controller.tick()
    acted.world.gateways_obey = False
    controller.tick()
    controller.tick()
    journal = journals(tmp_path)[-1]
    assert journal.rollout().outcome is None
    acted.world.seconds += WorldObserver.policy.unhealthy_seconds + 1
    controller.tick()
    concluded = journal.rollout()
    assert (concluded.outcome, concluded.reason) == (Outcome.ROLLED_BACK, ReasonCode.TRAFFIC_SPLIT_FAILED)


def test_a_deadline_is_no_alarm_in_a_pause(tmp_path: Path) -> None:
    late = Decision(Action.ROLL_BACK, ReasonCode.DEADLINE_EXCEEDED, "inconclusive after 72 h")
    acted = stage(tmp_path, lambda _: late)
    controller = acted.controller()
    controller.tick()
    journal = journals(tmp_path)[-1]
    journal.append("asked", what=OperatorRequest.PAUSE)
    for _ in range(3):
        controller.tick()
    assert journal.rollout().outcome is None
    journal.append("asked", what=OperatorRequest.RESUME)
    controller.tick()
    assert journal.rollout().outcome == Outcome.ROLLED_BACK


def test_a_pause_before_the_first_step_holds(tmp_path: Path) -> None:
    acted = stage(tmp_path, better)
    journal = journals(tmp_path)[-1]
    journal.append("asked", what=OperatorRequest.PAUSE)
    controller = acted.controller()
    for _ in range(3):
        controller.tick()
    assert (acted.world.split.weight, journal.rollout().weighed) == (0.0, ())
    journal.append("asked", what=OperatorRequest.RESUME)
    acted.run()
    assert journal.rollout().outcome == Outcome.PROMOTED


def test_a_canary_has_its_time_to_start_from_when_it_is_started(tmp_path: Path) -> None:
    """The stack was down since shortly after the beginning: nobody has tried to start it meanwhile."""
    acted = stage(tmp_path, better)
    journal = journals(tmp_path)[-1]
    journal.path.write_text(
        journal.path.read_text().replace(f'"time": {journal.rollout().began}', '"time": 1.0')
    )
    acted.world.canary_starts = False
    controller = acted.controller()
    controller.tick()
    assert journal.rollout().outcome is None
    acted.world.seconds += controller.START_S + 1
    controller.tick()
    assert journal.rollout().reason == ReasonCode.REPLICAS_NOT_READY


def test_when_the_canary_goes_and_comes_is_written_down(tmp_path: Path) -> None:
    acted = stage(tmp_path, lambda _: HOLD)
    controller, journal = acted.controller(), journals(tmp_path)[-1]
    controller.tick()
    later = time.time() + 100
    for missed in (None, 10.0, 11.0, None, None, later):
        acted.world.missed = missed
        controller.tick()
    (first, second) = journal.rollout().outages
    assert (first[0], second) == (10.0, (later, math.inf))
    assert math.isfinite(first[1])
    assert journal.rollout().out


def held_entries(folder: Path) -> list[dict[str, Any]]:
    return [entry for entry in journals(folder)[-1].entries() if entry["entry"] == "held"]


def test_journal_has_a_new_hold_when_the_reason_code_changes_whatever_the_words(tmp_path: Path) -> None:
    decision = [replace(HOLD, message="nobody has come")]
    acted = stage(tmp_path, lambda _: decision[0])
    controller = acted.controller()
    for message in ("nobody has come", "still nobody", "nobody at all"):
        decision[0] = replace(HOLD, message=message)
        controller.tick()
    controller.tick()
    assert [(entry["reason"], entry["message"]) for entry in held_entries(tmp_path)] == [
        ("no_data", "still nobody")  # the first tick puts the first users into the canary
    ]
    decision[0] = replace(HOLD, reason=ReasonCode.STALE_DATA, message="nobody at all")
    for _ in range(2):
        controller.tick()
    assert [entry["reason"] for entry in held_entries(tmp_path)] == ["no_data", "stale_data"]


def test_hold_that_flaps_between_two_reasons_is_written_once_a_minute(tmp_path: Path) -> None:
    acted = stage(tmp_path, lambda _: HOLD)
    controller = acted.controller()
    controller.tick()
    stale = replace(HOLD, reason=ReasonCode.STALE_DATA)
    for decision in (HOLD, stale, HOLD, stale, HOLD):
        acted.decisions = lambda _, now=decision: now
        controller.tick()
    assert [entry["reason"] for entry in held_entries(tmp_path)] == ["no_data", "stale_data"]
    acted.world.seconds += controller.SAY_S + 1
    acted.decisions = lambda _: stale
    controller.tick()
    assert [entry["reason"] for entry in held_entries(tmp_path)] == ["no_data", "stale_data", "stale_data"]


def test_every_step_and_the_conclusion_are_written_down_with_reason_and_message(tmp_path: Path) -> None:
    decisions = replace(ROLL_BACK, evidence={"p": 1e-6, "low": -math.inf})
    stage(tmp_path, lambda rollout: decisions if rollout.step else ADVANCE).run()
    entries = [entry for entry in journals(tmp_path)[-1].entries() if "reason" in entry]
    assert [(entry["entry"], entry["reason"], entry["message"]) for entry in entries] == [
        ("weighed", "canary_ready", "the canary is ready"),
        ("weighed", "guardrails_passed", "fine so far"),
        ("concluded", "error_rate", "it is broken"),
    ]
    assert entries[-1]["evidence"] == {"p": 1e-6}


def test_rollout_that_an_older_version_began_goes_on(tmp_path: Path) -> None:
    acted = stage(tmp_path, better)
    journal = journals(tmp_path)[-1]
    journal.append("weighed", step=0, weight=PARAMS.canary.steps[0], reason="the canary is ready")
    journal.append("held", reason="no data: the canary arm has answered nobody yet")
    assert (journal.rollout().reason, journal.rollout().message[:7]) == (None, "no data")
    acted.run()
    assert (journal.rollout().outcome, journal.rollout().step) == (Outcome.PROMOTED, 4)
