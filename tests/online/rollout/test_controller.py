"""Controller: kills and failures at any moment leave the stack in a consistent state."""

import errno
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from experiments.config import load_params
from marquee.errors import TrackingError
from marquee.rollout.arms import CANARY, STABLE
from marquee.rollout.decision_types import Action, Decision, ReasonCode
from marquee.rollout.evidence import Evidence
from marquee.rollout.policy import PromotionPolicy
from marquee.rollout.state import OperatorCommand, Rollout, RolloutOutcome
from pipelines.rollout.controller import CANARY_START_TIMEOUT_S, HOLD_ENTRY_INTERVAL_S, Controller
from pipelines.rollout.interfaces import SplitResult
from pipelines.rollout.journal import Journal, create_journal, find_active_journal, list_journals
from pipelines.rollout.params_conversion import build_policy, dump_canary_params
from pipelines.rollout.reporter import RolloutReporter
from service.gateway.traffic_split import NO_CANARY, TrafficSplit
from service.stack.stack_config import Arm, StackConfig

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml").canary
LAST_STEP = len(PARAMS.steps) - 1
MAX_ITERATIONS = 60
OLD, NEW = Arm("/bentos/old", 1), Arm("/bentos/new", 2)

HOLD = Decision(Action.HOLD, ReasonCode.NO_DATA, "no data")
ADVANCE = Decision(Action.ADVANCE, ReasonCode.GUARDRAILS_PASSED, "no alarm")
PROMOTE = Decision(Action.PROMOTE, ReasonCode.FINAL_STEP_PASSED, "it is better")
ROLL_BACK = Decision(Action.ROLL_BACK, ReasonCode.ERROR_RATE, "it is broken")

DecideByState = Callable[[Rollout], Decision]


def decide_for_better_canary(rollout: Rollout) -> Decision:
    return PROMOTE if rollout.step == LAST_STEP else ADVANCE


def decide_for_broken_canary(rollout: Rollout) -> Decision:
    return ROLL_BACK if rollout.step == 1 else ADVANCE


def always(decision: Decision) -> DecideByState:
    """Return a function that ignores the evidence."""
    return lambda _: decision


class Killed(BaseException):
    """Stand-in for SIGKILL; derives from BaseException, so that no code catches it."""


def raise_disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@dataclass
class Environment:
    """Simulated state around the controller, which it can kill before or after each change."""

    split: TrafficSplit = NO_CANARY
    arms: dict[str, Arm] = field(default_factory=lambda: {STABLE: OLD})
    champion: int = 1
    n_changes: int = 0
    kill_at: int = -1  # moment of the kill: 2 i is before change i, 2 i + 1 after it; -1: no kill
    # Allocation and champion after each change.
    history: list[tuple[float, int]] = field(default_factory=list)
    clock_seconds: float = 0.0
    outage_start: float | None = None
    can_canary_start: bool = True
    do_gateways_apply_splits: bool = True
    can_write_split: bool = True
    can_write_journal: bool = True

    def change(self, make_change: Callable[[], None]) -> None:
        """Make a change, unless the controller is killed before it."""
        self._kill_if_due(2 * self.n_changes)
        make_change()
        self.history.append((self.split.allocation, self.champion))
        self._kill_if_due(2 * self.n_changes + 1)
        self.n_changes += 1

    def _kill_if_due(self, moment: int) -> None:
        if moment == self.kill_at:
            self.kill_at = -1
            raise Killed


class FakeActuator:
    """Actuator that changes the environment, unless it is already in the requested state."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def set_traffic_split(self, split: TrafficSplit) -> SplitResult:
        environment = self._environment
        if not environment.can_write_split and split != NO_CANARY:
            raise_disk_full()
        if not environment.do_gateways_apply_splits:
            return SplitResult.NOT_APPLIED
        if environment.split != split:
            environment.change(lambda: setattr(environment, "split", split))
        return SplitResult.APPLIED

    def is_any_canary_replica_up(self) -> bool:
        return self._environment.can_canary_start and CANARY in self._environment.arms

    def start_canary(self, arm: Arm) -> None:
        self._set_arm(CANARY, arm)

    def stop_canary(self) -> None:
        if CANARY in self._environment.arms:
            self._environment.change(lambda: self._environment.arms.__delitem__(CANARY))

    def update_stable_replicas(self, arm: Arm) -> None:
        self._set_arm(STABLE, arm)

    def _set_arm(self, name: str, arm: Arm) -> None:
        if self._environment.arms.get(name) != arm:
            self._environment.change(lambda: self._environment.arms.update({name: arm}))


class FakeObserver:
    """Observer that returns the rollout itself as the evidence, so that tests can decide by its state."""

    policy = build_policy(PARAMS)
    metrics_to_report: Mapping[str, float] = {}

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def query_unavailable_since(self, now: float) -> float | None:
        return self._environment.outage_start

    def collect_evidence(self, rollout: Rollout, now: float) -> Evidence:
        return cast("Evidence", rollout)


class RecordingJournal(Journal):
    """Journal whose entries are changes of the environment."""

    def __init__(self, path: Path, environment: Environment) -> None:
        super().__init__(path)
        self._environment = environment

    def append(self, entry: str, **fields: Any) -> None:
        if not self._environment.can_write_journal:
            raise_disk_full()
        self._environment.change(lambda: super(RecordingJournal, self).append(entry, **fields))


class OutcomeReporter(RolloutReporter):
    """Reporter that ignores observations, since these tests have no real evidence."""

    def report_observation(self, *_: object) -> None:
        pass


@dataclass
class Simulation:
    """Rollout on a stack, run by one controller after another."""

    stack: StackConfig
    environment: Environment = field(default_factory=Environment)
    decide: DecideByState = field(default_factory=lambda: always(HOLD))
    make_reporter: Callable[[Path], OutcomeReporter] = OutcomeReporter

    @property
    def journal(self) -> Journal:
        """Journal of the rollout; appending to it is not a change of the controller."""
        return list_journals(self.stack.folder)[-1]

    @property
    def rollout(self) -> Rollout:
        return self.journal.read_rollout()

    @property
    def is_rollout_running(self) -> bool:
        return find_active_journal(self.stack.folder) is not None

    def start_controller(self) -> Controller:
        return Controller(
            self.stack,
            "marquee",
            actuator=FakeActuator(self.environment),
            reporter=self.make_reporter(self.stack.folder),
            open_observer=lambda *_: FakeObserver(self.environment),
            decide=self._decide,
            promote_to_champion=self._promote_to_champion,
            find_journal=self._find_journal,
            clock=lambda: self.environment.clock_seconds,
        )

    def _decide(self, evidence: Evidence, _: PromotionPolicy) -> Decision:
        return self.decide(cast("Rollout", evidence))

    def _promote_to_champion(self, _: str, version: int) -> None:
        if self.environment.champion != version:
            self.environment.change(lambda: setattr(self.environment, "champion", version))

    def _find_journal(self, folder: Path) -> Journal | None:
        journal = find_active_journal(folder)
        return None if journal is None else RecordingJournal(journal.path, self.environment)

    def run_controller(self, n_iterations: int) -> Controller:
        """Run a new controller for a number of iterations, and return it."""
        controller = self.start_controller()
        for _ in range(n_iterations):
            controller.run_once()
        return controller

    def run_until_finished(self) -> None:
        """Run until the rollout has finished, and once more; replace each killed controller."""
        controller = self.start_controller()
        for _ in range(MAX_ITERATIONS):
            try:
                controller.run_once()
            except Killed:
                controller = self.start_controller()
            if not self.is_rollout_running:
                controller.run_once()
                return
        pytest.fail(f"the rollout did not finish within {MAX_ITERATIONS} iterations")

    def command(self, command: OperatorCommand) -> None:
        self.journal.append("operator_command", command=command)

    def replace_in_journal(self, old: str, new: str) -> None:
        self.journal.path.write_text(self.journal.path.read_text().replace(old, new))

    def add_mlflow_run(self) -> None:
        self.replace_in_journal('"run_id": null', '"run_id": "0f0f"')

    def entries(self, name: str) -> list[dict[str, Any]]:
        return [entry for entry in self.journal.read_entries() if entry["entry"] == name]


@pytest.fixture
def simulation(stack: StackConfig) -> Simulation:
    """A rollout that has just been started, without a controller."""
    create_journal(
        stack.folder,
        "one",
        salt=7,
        champion=1,
        challenger=2,
        bento=NEW.bento,
        run_id=None,
        params=dump_canary_params(PARAMS),
    )
    return Simulation(stack)


# Number of moments at which the controller can be killed: before and after each change.
N_KILL_MOMENTS: Mapping[DecideByState, int] = {decide_for_better_canary: 46, decide_for_broken_canary: 24}


@pytest.mark.parametrize("decide", N_KILL_MOMENTS)
def test_kill_moments_cover_a_whole_rollout(simulation: Simulation, decide: DecideByState) -> None:
    simulation.decide = decide
    simulation.run_until_finished()
    assert 2 * simulation.environment.n_changes == N_KILL_MOMENTS[decide]


@pytest.mark.parametrize("kill_at", range(-1, N_KILL_MOMENTS[decide_for_better_canary]))
def test_better_canary_is_promoted_whenever_the_controller_is_killed(
    simulation: Simulation, kill_at: int
) -> None:
    simulation.environment.kill_at = kill_at
    simulation.decide = decide_for_better_canary
    simulation.run_until_finished()
    environment = simulation.environment
    assert simulation.rollout.outcome == RolloutOutcome.PROMOTED
    assert environment.split == NO_CANARY
    assert environment.arms == {STABLE: NEW}
    assert environment.champion == 2
    allocations_afterwards = [allocation for allocation, champion in environment.history if champion == 2]
    assert allocations_afterwards[0] == 1.0  # the champion changes when all users have the challenger
    assert_steps_increase(simulation)


@pytest.mark.parametrize("kill_at", range(-1, N_KILL_MOMENTS[decide_for_broken_canary]))
def test_broken_canary_is_rolled_back_whenever_the_controller_is_killed(
    simulation: Simulation, kill_at: int
) -> None:
    simulation.environment.kill_at = kill_at
    simulation.decide = decide_for_broken_canary
    simulation.run_until_finished()
    environment = simulation.environment
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK
    assert environment.split == NO_CANARY
    assert environment.arms == {STABLE: OLD}
    assert environment.champion == 1
    assert all(champion == 1 for _, champion in environment.history)
    allocations = [allocation for allocation, _ in environment.history]
    after_highest = allocations[allocations.index(max(allocations)) :]
    assert after_highest == sorted(after_highest, reverse=True)  # no user gets the canary again
    assert_steps_increase(simulation)


def assert_steps_increase(simulation: Simulation) -> None:
    allocations = [entry["allocation"] for entry in simulation.entries("allocation_set")]
    assert allocations == sorted(set(allocations))  # no step is started twice


@pytest.mark.parametrize(
    ("command", "champion"), [(OperatorCommand.PROMOTE, 2), (OperatorCommand.ROLL_BACK, 1)]
)
def test_command_sent_while_no_controller_runs_is_executed(
    simulation: Simulation, command: OperatorCommand, champion: int
) -> None:
    for _ in range(3):
        simulation.run_controller(1)
    simulation.command(command)
    simulation.run_until_finished()
    assert simulation.environment.champion == champion


def test_command_is_executed_although_the_evidence_cannot_be_read(simulation: Simulation) -> None:
    def fail(_: Rollout) -> Decision:
        raise OSError("the disk is gone")

    simulation.decide = fail
    controller = simulation.run_controller(1)
    with pytest.raises(OSError, match="gone"):
        controller.run_once()
    assert simulation.is_rollout_running
    simulation.command(OperatorCommand.ROLL_BACK)
    simulation.run_until_finished()
    assert simulation.environment.split == NO_CANARY


class FakeRun:
    """MLflow run that records how it was finished."""

    def __init__(self, on_finish: Callable[[], object] = lambda: None) -> None:
        self._on_finish = on_finish
        self.finished: list[tuple[RolloutOutcome, ReasonCode | None, str]] = []

    def log_metrics(self, metrics: Mapping[str, float], timestamp: float) -> None: ...

    def finish(
        self,
        outcome: RolloutOutcome,
        reason: ReasonCode | None,
        message: str,
        entries: Sequence[Mapping[str, Any]],
    ) -> None:
        self._on_finish()
        self.finished.append((outcome, reason, message))


def test_unresponsive_tracking_store_delays_no_rollback(simulation: Simulation) -> None:
    end_of_test = threading.Event()
    run = FakeRun(on_finish=lambda: end_of_test.wait(5))
    simulation.decide = decide_for_broken_canary
    simulation.make_reporter = partial(OutcomeReporter, open_run=lambda _: run, record_timeout_s=0.1)
    simulation.add_mlflow_run()
    simulation.run_until_finished()
    end_of_test.set()
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK
    assert not simulation.is_rollout_running


def raise_tracking_error(*_: object) -> FakeRun:
    raise TrackingError("the tracking store cannot be reached")


def test_rollback_needs_no_tracking_store(simulation: Simulation) -> None:
    simulation.decide = decide_for_broken_canary
    simulation.make_reporter = partial(OutcomeReporter, open_run=raise_tracking_error)
    simulation.add_mlflow_run()
    simulation.run_until_finished()
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK
    assert simulation.environment.split == NO_CANARY


def test_outcome_is_recorded_when_the_tracking_store_is_available_again(simulation: Simulation) -> None:
    run = FakeRun()
    simulation.decide = decide_for_broken_canary
    simulation.make_reporter = partial(OutcomeReporter, open_run=raise_tracking_error, retry_interval_s=0.0)
    simulation.add_mlflow_run()
    simulation.run_until_finished()
    assert (simulation.rollout.is_running, simulation.rollout.is_recorded) == (False, False)
    simulation.make_reporter = partial(OutcomeReporter, open_run=lambda _: run, retry_interval_s=0.0)
    simulation.run_controller(3)
    assert simulation.rollout.is_recorded
    assert run.finished == [(RolloutOutcome.ROLLED_BACK, ReasonCode.ERROR_RATE, "it is broken")]


def test_outcome_is_recorded_beside_an_unreadable_journal(simulation: Simulation) -> None:
    run = FakeRun()
    simulation.decide = decide_for_broken_canary
    simulation.make_reporter = partial(OutcomeReporter, open_run=raise_tracking_error)
    simulation.add_mlflow_run()
    simulation.run_until_finished()
    simulation.journal.path.with_name("an-older-one.jsonl").write_text('{"entry": "began", "time": 1.0}\n')
    simulation.make_reporter = partial(OutcomeReporter, open_run=lambda _: run)
    simulation.run_controller(1)
    assert len(run.finished) == 1


def test_full_disk_keeps_no_user_in_a_bad_canary(simulation: Simulation) -> None:
    simulation.decide = decide_for_broken_canary
    environment, controller = simulation.environment, simulation.start_controller()
    while environment.split.allocation < PARAMS.steps[1]:
        controller.run_once()
    environment.can_write_journal = False
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            controller.run_once()
        assert environment.split == NO_CANARY
    environment.can_write_journal = True
    controller.run_once()
    assert simulation.rollout.reason == ReasonCode.ERROR_RATE
    assert environment.arms == {STABLE: OLD}


def test_alarm_rolls_back_although_the_split_cannot_be_written(simulation: Simulation) -> None:
    simulation.decide = decide_for_broken_canary
    controller = simulation.run_controller(2)
    simulation.environment.can_write_split = False
    simulation.decide = always(ROLL_BACK)
    controller.run_once()
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK
    assert simulation.environment.split == NO_CANARY


def test_gateway_that_does_not_apply_the_split_ends_the_rollout(simulation: Simulation) -> None:
    controller = simulation.run_controller(1)
    simulation.environment.do_gateways_apply_splits = False
    controller.run_once()
    controller.run_once()
    assert simulation.rollout.outcome is None
    simulation.environment.clock_seconds += PARAMS.unhealthy_seconds + 1
    controller.run_once()
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK
    assert simulation.rollout.reason == ReasonCode.TRAFFIC_SPLIT_FAILED


def test_pause_holds_and_does_not_disable_alarms(simulation: Simulation) -> None:
    simulation.decide = always(ADVANCE)
    controller = simulation.run_controller(2)
    simulation.command(OperatorCommand.PAUSE)
    step = simulation.rollout.step
    for _ in range(3):
        controller.run_once()
    assert (simulation.rollout.step, simulation.rollout.reason) == (step, ReasonCode.PAUSED)
    simulation.decide = always(ROLL_BACK)
    simulation.run_until_finished()
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK


def test_pause_suspends_the_deadline(simulation: Simulation) -> None:
    late = Decision(Action.ROLL_BACK, ReasonCode.DEADLINE_EXCEEDED, "inconclusive after 72 h")
    simulation.decide = always(late)
    controller = simulation.run_controller(1)
    simulation.command(OperatorCommand.PAUSE)
    for _ in range(3):
        controller.run_once()
    assert simulation.rollout.outcome is None
    simulation.command(OperatorCommand.RESUME)
    controller.run_once()
    assert simulation.rollout.outcome == RolloutOutcome.ROLLED_BACK


def test_pause_before_the_first_step_holds(simulation: Simulation) -> None:
    simulation.decide = decide_for_better_canary
    simulation.command(OperatorCommand.PAUSE)
    simulation.run_controller(3)
    assert (simulation.environment.split.allocation, simulation.rollout.allocations) == (0.0, ())
    simulation.command(OperatorCommand.RESUME)
    simulation.run_until_finished()
    assert simulation.rollout.outcome == RolloutOutcome.PROMOTED


def test_start_timeout_begins_when_the_canary_is_started(simulation: Simulation) -> None:
    """The rollout started long ago, but no controller was running to start the canary."""
    simulation.replace_in_journal(f'"time": {simulation.rollout.started_at}', '"time": 1.0')
    simulation.environment.can_canary_start = False
    controller = simulation.run_controller(1)
    assert simulation.rollout.outcome is None
    simulation.environment.clock_seconds += CANARY_START_TIMEOUT_S + 1
    controller.run_once()
    assert simulation.rollout.reason == ReasonCode.REPLICAS_NOT_READY


def test_outages_of_the_canary_are_recorded(simulation: Simulation) -> None:
    controller, later = simulation.run_controller(1), time.time() + 100
    for outage_start in (None, 10.0, 11.0, None, None, later):
        simulation.environment.outage_start = outage_start
        controller.run_once()
    (first, second) = simulation.rollout.outages
    assert first.start == 10.0
    assert math.isfinite(first.end)
    assert second == (later, math.inf)
    assert simulation.rollout.has_ongoing_outage


def hold_reasons(simulation: Simulation) -> list[str]:
    return [entry["reason"] for entry in simulation.entries("held")]


def test_new_hold_is_recorded_when_the_reason_code_changes(simulation: Simulation) -> None:
    controller = simulation.run_controller(1)  # starts the first step
    for message in ("no data", "no data yet", "no data at all"):
        simulation.decide = always(replace(HOLD, message=message))
        controller.run_once()
    held = [(entry["reason"], entry["message"]) for entry in simulation.entries("held")]
    assert held == [("no_data", "no data")]
    simulation.decide = always(replace(HOLD, reason=ReasonCode.STALE_DATA, message="no data at all"))
    for _ in range(2):
        controller.run_once()
    assert hold_reasons(simulation) == ["no_data", "stale_data"]


def test_hold_that_alternates_between_two_reasons_is_recorded_once_a_minute(simulation: Simulation) -> None:
    controller = simulation.run_controller(1)
    stale = replace(HOLD, reason=ReasonCode.STALE_DATA)
    decisions = iter([HOLD, stale, HOLD, stale, HOLD, stale])
    simulation.decide = lambda _: next(decisions)
    for _ in range(5):
        controller.run_once()
    assert hold_reasons(simulation) == ["no_data", "stale_data"]
    simulation.environment.clock_seconds += HOLD_ENTRY_INTERVAL_S + 1
    controller.run_once()
    assert hold_reasons(simulation) == ["no_data", "stale_data", "stale_data"]


def test_steps_and_conclusion_are_recorded_with_reason_and_message(simulation: Simulation) -> None:
    rollback = replace(ROLL_BACK, evidence={"p": 1e-6, "low": -math.inf})
    simulation.decide = lambda rollout: rollback if rollout.step else ADVANCE
    simulation.run_until_finished()
    entries = [entry for entry in simulation.journal.read_entries() if "reason" in entry]
    assert [(entry["entry"], entry["reason"], entry["message"]) for entry in entries] == [
        ("allocation_set", "canary_ready", "the canary is ready"),
        ("allocation_set", "guardrails_passed", "no alarm"),
        ("concluded", "error_rate", "it is broken"),
    ]
    assert entries[-1]["evidence"] == {"p": 1e-6}
