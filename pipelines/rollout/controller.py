"""Controller of rollouts: observes, decides, writes the decision to the journal, and acts on it.

Every decision is written to the journal before it is carried out. If the controller is killed, the next one
repeats the last action, which is harmless because all actions are idempotent. There is one exception: a
rollback that cannot be written to the journal is still sent to the gateways.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.tracking.model_registry import promote_to_champion
from marquee.errors import MarqueeError
from marquee.finite_values import drop_non_finite
from marquee.model.fitted_model import load_model
from marquee.rollout.arms import STABLE
from marquee.rollout.decision_types import Action, Decision, ReasonCode
from marquee.rollout.evidence import Evidence
from marquee.rollout.policy import PromotionPolicy, decide
from marquee.rollout.state import OUTCOME_OF_ACTION, Rollout, RolloutOutcome, replay
from pipelines.rollout.actuator import StackActuator
from pipelines.rollout.interfaces import Actuator, Observer, Reporter, SplitResult
from pipelines.rollout.journal import Journal, find_active_journal
from pipelines.rollout.observer import RolloutObserver
from pipelines.rollout.params_conversion import parse_canary_params
from pipelines.rollout.reporter import RolloutReporter, read_last_observation_time
from service.gateway.traffic_split import NO_CANARY, TrafficSplit
from service.stack.hang_watchdog import write_heartbeat
from service.stack.stack_config import Arm, StackConfig, read_arms

LOOP_INTERVAL_S = 0.5
HOLD_ENTRY_INTERVAL_S = 60.0  # between two journal entries with the same reason to hold
CANARY_START_TIMEOUT_S = 90.0
log = logging.getLogger("controller")


@dataclass
class _CurrentRollout:
    """In-memory state of the current rollout that is not in its journal."""

    journal_path: Path
    observer: Observer | None = None
    hold_reason: ReasonCode | None = None  # of the latest hold
    hold_entry_times: dict[ReasonCode, float] = field(default_factory=dict)  # of the latest entries
    canary_started_at: float | None = None
    split_failed_since: float | None = None  # since then a gateway responds but has another split
    pending_rollback: Decision | None = None  # carried out, but not written to the journal yet


def open_observer(stack: StackConfig, rollout: Rollout) -> RolloutObserver:
    """Return the observer of a rollout that is running on a stack."""
    stable_model = Path(read_arms(stack.folder)[STABLE].bento) / "src" / "model"
    return RolloutObserver(
        stack,
        rollout,
        parse_canary_params(rollout.params),
        load_model(stable_model).popularity_shares(),
        read_last_observation_time(stack.folder, rollout),
    )


class Controller:
    """Controller of all rollouts of one stack."""

    def __init__(
        self,
        stack: StackConfig,
        model: str,
        *,
        actuator: Actuator | None = None,
        reporter: Reporter | None = None,
        open_observer: Callable[[StackConfig, Rollout], Observer] = open_observer,
        decide: Callable[[Evidence, PromotionPolicy], Decision] = decide,
        promote_to_champion: Callable[[str, int], object] = promote_to_champion,
        find_journal: Callable[[Path], Journal | None] = find_active_journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a controller. If a rollout is in progress, the controller resumes it from the journal.

        Args:
            stack: stack to control.
            model: name of the registered model.
            actuator: changes the stack; by default its gateways and replicas.
            reporter: reports observations and outcomes; by default to the status file and to MLflow.
            open_observer: returns the observer of a rollout.
            decide: returns the decision that the evidence allows.
            promote_to_champion: gives the alias `champion` to a version of the model.
            find_journal: returns the journal of the rollout that is running in a folder, or None.
            clock: returns monotonic time in seconds.
        """
        self._stack = stack
        self._model = model
        self._actuator: Actuator = StackActuator(stack) if actuator is None else actuator
        self._reporter: Reporter = RolloutReporter(stack.folder) if reporter is None else reporter
        self._open_observer = open_observer
        self._decide = decide
        self._promote_to_champion = promote_to_champion
        self._find_journal = find_journal
        self._clock = clock
        self._current = _CurrentRollout(Path())

    def run_forever(self) -> None:
        """Run the control loop until the process is stopped."""
        while True:
            write_heartbeat(self._stack.folder, "controller")
            try:
                self.run_once()
            except (MarqueeError, OSError) as error:
                log.error("iteration failed and will be retried: %s", error)  # noqa: TRY400 - one line, no traceback
            time.sleep(LOOP_INTERVAL_S)

    def run_once(self) -> None:
        """Run one iteration of the control loop: bring the stack into the state that the journal requires.

        Raises:
            MarqueeError, OSError: an action failed; the next iteration tries again.
        """
        journal = self._find_journal(self._stack.folder)
        if journal is None:
            self._idle()
            return
        if self._current.journal_path != journal.path:
            self._current = _CurrentRollout(journal.path)
        rollout = journal.read_rollout()
        if rollout.outcome is not None:
            self._finish(journal, rollout)
        elif rollout.allocations:
            self._run_step(journal, rollout)
        else:
            self._start_canary(journal, rollout)

    def _idle(self) -> None:
        """Ensure that no canary is running or has users, and record outcomes that are not yet in MLflow."""
        self._actuator.set_traffic_split(NO_CANARY)
        self._actuator.stop_canary()
        self._reporter.retry_unrecorded_outcomes()

    def _start_canary(self, journal: Journal, rollout: Rollout) -> None:
        """Start the canary's replicas; start the first step when they are ready."""
        if rollout.operator_action == Action.ROLL_BACK:
            self._conclude(journal, _operator_decision(Action.ROLL_BACK))
            return
        self._actuator.set_traffic_split(TrafficSplit(rollout.salt, allocation=0.0))
        self._actuator.start_canary(Arm(rollout.bento, rollout.challenger))
        if self._current.canary_started_at is None:
            self._current.canary_started_at = self._clock()
        if self._actuator.is_any_canary_replica_up():
            if not rollout.is_paused:
                self._start_next_step(journal, rollout, ReasonCode.CANARY_READY, "the canary is ready")
        elif self._clock() > self._current.canary_started_at + CANARY_START_TIMEOUT_S:
            message = (
                f"no replica of version {rollout.challenger} became ready in {CANARY_START_TIMEOUT_S:.0f} s"
            )
            self._conclude(journal, Decision(Action.ROLL_BACK, ReasonCode.REPLICAS_NOT_READY, message))

    def _run_step(self, journal: Journal, rollout: Rollout) -> None:
        """Apply the allocation, collect evidence and act on the decision."""
        if self._current.pending_rollback is not None:
            self._conclude(journal, self._current.pending_rollback)
            return
        if rollout.operator_action is not None:  # before evidence is read, because reading it may fail
            self._conclude(journal, _operator_decision(rollout.operator_action))
            return
        rollout = self._apply_allocation(journal, rollout)
        observer, now = self._get_observer(rollout), time.time()
        rollout = self._record_availability(journal, rollout, observer.query_unavailable_since(now))
        evidence = observer.collect_evidence(rollout, now)
        decision = self._make_decision(rollout, evidence, observer.policy)
        self._reporter.report_observation(rollout, evidence, decision, observer.metrics_to_report, now)
        self._act_on(journal, rollout, decision)

    def _apply_allocation(self, journal: Journal, rollout: Rollout) -> Rollout:
        """Send the step's allocation to the gateways, and record when all of them have applied it.

        If that fails, the step continues, because the evidence may still require a rollback.
        """
        try:
            result = self._actuator.set_traffic_split(TrafficSplit(rollout.salt, rollout.allocation))
        except OSError as error:
            log.error("cannot set the traffic split: %s", error)  # noqa: TRY400
            result = SplitResult.NOT_APPLIED
        if result != SplitResult.NOT_APPLIED:
            self._current.split_failed_since = None
        elif self._current.split_failed_since is None:
            self._current.split_failed_since = self._clock()
        if result == SplitResult.APPLIED and len(rollout.confirmation_times) <= rollout.step:
            return self._record(journal, "allocation_confirmed", step=rollout.step)
        return rollout

    def _record_availability(self, journal: Journal, rollout: Rollout, outage_start: float | None) -> Rollout:
        """Record the start or end of an outage of the canary, during which stable serves its users."""
        is_unavailable = outage_start is not None
        if is_unavailable == rollout.has_ongoing_outage:
            return rollout
        if is_unavailable:
            return self._record(journal, "canary_unavailable", since=outage_start)
        return self._record(journal, "canary_available")

    def _record(self, journal: Journal, entry: str, **fields: Any) -> Rollout:
        """Append an entry and return the new state.

        If the journal cannot be written, return the state that the entry would have led to: alarms must still
        be evaluated.
        """
        try:
            journal.append(entry, **fields)
        except OSError as error:
            log.error("cannot write the entry '%s' to the journal: %s", entry, error)  # noqa: TRY400
            return replay([*journal.read_entries(), {"entry": entry, "time": time.time(), **fields}])
        return journal.read_rollout()

    def _get_observer(self, rollout: Rollout) -> Observer:
        if self._current.observer is None:
            self._current.observer = self._open_observer(self._stack, rollout)
        return self._current.observer

    def _make_decision(self, rollout: Rollout, evidence: Evidence, policy: PromotionPolicy) -> Decision:
        """Return the decision that follows from the evidence, the state of the gateways, and a pause."""
        decision = self._decide(evidence, policy)
        if decision.action != Action.ROLL_BACK:
            decision = self._check_traffic_split(policy) or decision
        # A pause does not disable alarms; it does suspend the deadline.
        is_alarm = decision.action == Action.ROLL_BACK and decision.reason != ReasonCode.DEADLINE_EXCEEDED
        if rollout.is_paused and not is_alarm:
            return Decision(Action.HOLD, ReasonCode.PAUSED, "paused by an operator", decision.evidence)
        return decision

    def _check_traffic_split(self, policy: PromotionPolicy) -> Decision | None:
        """Return a rollback if gateways have not applied the allocation for too long.

        No user is counted until they have applied it, so no other alarm could go off.
        """
        if self._current.split_failed_since is None:
            return None
        seconds = self._clock() - self._current.split_failed_since
        if seconds <= policy.unhealthy_seconds:
            return None
        message = f"the gateways have not applied the traffic split for {seconds:.0f} s"
        return Decision(Action.ROLL_BACK, ReasonCode.TRAFFIC_SPLIT_FAILED, message)

    def _act_on(self, journal: Journal, rollout: Rollout, decision: Decision) -> None:
        if decision.action == Action.ADVANCE:
            self._start_next_step(journal, rollout, decision.reason, decision.message)
        elif decision.action in OUTCOME_OF_ACTION:
            self._conclude(journal, decision)
        else:
            self._record_hold(journal, decision)

    def _record_hold(self, journal: Journal, decision: Decision) -> None:
        """Record a hold if its reason is new; record a recurring reason at most once a minute."""
        reason, now = decision.reason, self._clock()
        if reason == self._current.hold_reason:
            return
        self._current.hold_reason = reason
        if now > self._current.hold_entry_times.get(reason, -math.inf) + HOLD_ENTRY_INTERVAL_S:
            self._current.hold_entry_times[reason] = now
            self._record(journal, "held", reason=reason, message=decision.message)

    def _start_next_step(self, journal: Journal, rollout: Rollout, reason: ReasonCode, message: str) -> None:
        """Start the next step: record its allocation, then send it to the gateways."""
        step = rollout.step + 1
        allocation = parse_canary_params(rollout.params).steps[step]
        journal.append("allocation_set", step=step, allocation=allocation, reason=reason, message=message)
        self._actuator.set_traffic_split(TrafficSplit(rollout.salt, allocation))
        log.info("allocation %g%%: %s", 100 * allocation, message)

    def _conclude(self, journal: Journal, decision: Decision) -> None:
        """Record the outcome of a rollout and carry it out."""
        outcome = OUTCOME_OF_ACTION[decision.action]
        try:
            journal.append(
                "concluded",
                outcome=outcome,
                reason=decision.reason,
                message=decision.message,
                evidence=drop_non_finite(decision.evidence),
            )
        except OSError:
            if outcome == RolloutOutcome.ROLLED_BACK:  # a full disk must not keep users in a bad canary
                self._current.pending_rollback = decision
                log.error("rolling back, but cannot write it to the journal: %s", decision.message)  # noqa: TRY400
                self._actuator.set_traffic_split(NO_CANARY)
            raise
        self._current.pending_rollback = None
        log.info("%s: %s", outcome, decision.message)
        self._finish(journal, journal.read_rollout())

    def _finish(self, journal: Journal, rollout: Rollout) -> None:
        """Carry out the outcome of a rollout: users first, then replicas, records last."""
        if rollout.outcome == RolloutOutcome.PROMOTED:
            self._actuator.set_traffic_split(TrafficSplit(rollout.salt, allocation=1.0))
            self._promote_to_champion(self._model, rollout.challenger)
            self._actuator.update_stable_replicas(Arm(rollout.bento, rollout.challenger))
        self._actuator.set_traffic_split(NO_CANARY)
        self._actuator.stop_canary()
        self._reporter.record_outcome_in_mlflow(journal)
        journal.append("finished")


def _operator_decision(action: Action) -> Decision:
    return Decision(action, ReasonCode.OPERATOR_COMMAND, "requested by an operator")
