"""The controller's loop: look, decide, write the decision down, act on it.

Everything that it does follows from the journal, and is written there before it is done. Killed at any line,
it does the same again: each act brings about a state, and does nothing where that state is there already.
One thing needs no journal: where a rollback cannot be written down, users are taken out of the canary all the
same.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.tracking.registry import crown
from marquee.errors import MarqueeError
from marquee.finite import finite_only
from marquee.model.fitted_model import load_model
from marquee.rollout.decision import Action, Decision, ReasonCode
from marquee.rollout.policy import Evidence, Policy, decide
from marquee.rollout.state import CONCLUSIONS, Outcome, Rollout, fold
from pipelines.rollout.actuator import Hands
from pipelines.rollout.interfaces import Actuator, Observer, Reporter
from pipelines.rollout.journal import Journal, active
from pipelines.rollout.observer import Watch
from pipelines.rollout.policy_config import canary_of
from pipelines.rollout.reporter import Telling, last_look
from service.gateway.traffic_split import NOBODY, Split
from service.stack.stack_config import STABLE, Arm, Stack, read_arms
from service.stack.watchdog import beat

TICK_S = 0.5
SAY_S = 60.0  # between two entries of one reason to hold
START_S = 90.0  # for the canary's replicas to become ready
ASKED = "asked for by a person"
log = logging.getLogger("controller")


@dataclass
class _Present:
    """What is remembered of the rollout that runs, and of no other."""

    journal: Path
    observer: Observer | None = None
    held: ReasonCode | None = None  # the present reason to hold
    said: dict[ReasonCode, float] = field(default_factory=dict)  # when each was written down
    raised: float | None = None  # since when its replicas are being started
    deaf_since: float | None = None  # a gateway answers, and does not take the weight
    owed: Decision | None = None  # a rollback that could not be written down yet


def watch_rollout(stack: Stack, rollout: Rollout) -> Watch:
    """Observe a rollout that runs on a stack."""
    popularity = popularity_of(Path(read_arms(stack.folder)[STABLE].bento))
    return Watch(
        stack, rollout, canary_of(dict(rollout.policy)), popularity, last_look(stack.folder, rollout)
    )


class Controller:
    """Walks one stack's rollouts through their steps."""

    def __init__(
        self,
        stack: Stack,
        model: str,
        *,
        actuator: Actuator | None = None,
        reporter: Reporter | None = None,
        observe: Callable[[Stack, Rollout], Observer] = watch_rollout,
        decide: Callable[[Evidence, Policy], Decision] = decide,
        promote_to_champion: Callable[[str, int], object] = crown,
        find_journal: Callable[[Path], Journal | None] = active,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with whatever the journal says.

        Args:
            stack: that it steers.
            model: name of the registered model.
            actuator: changes the stack; by default its gateways and replicas.
            reporter: reports looks and outcomes; by default to the status file and to MLflow.
            observe: makes the observer of a rollout.
            decide: takes the decision that the evidence allows.
            promote_to_champion: gives a version of the model the alias `champion`.
            find_journal: finds the journal of the rollout that runs in a stack's folder, if one does.
            clock: source of monotonic time, in seconds.
        """
        self._stack = stack
        self._model = model
        self._actuator: Actuator = Hands(stack) if actuator is None else actuator
        self._reporter: Reporter = Telling(stack.folder) if reporter is None else reporter
        self._observe = observe
        self._decide = decide
        self._promote_to_champion = promote_to_champion
        self._find_journal = find_journal
        self._clock = clock
        self._present = _Present(Path())

    def run(self) -> None:
        """Go on for ever."""
        while True:
            beat(self._stack.folder, "controller")
            try:
                self.tick()
            except (MarqueeError, OSError) as error:
                log.error("will be tried again: %s", error)  # noqa: TRY400 - one line an incident
            time.sleep(TICK_S)

    def tick(self) -> None:
        """One look, and what follows from it."""
        journal = self._find_journal(self._stack.folder)
        if journal is None:
            self._rest()
            return
        if self._present.journal != journal.path:
            self._present = _Present(journal.path)
        rollout = journal.rollout()
        if rollout.outcome is not None:
            self._finish(journal, rollout)
        elif not rollout.weighed:
            self._begin(journal, rollout)
        else:
            self._walk(journal, rollout)

    def _rest(self) -> None:
        """No rollout: nobody is in a canary, and none runs."""
        self._actuator.split(NOBODY)
        self._actuator.end_canary()
        self._reporter.what_is_owed()

    def _begin(self, journal: Journal, rollout: Rollout) -> None:
        """Start the canary's replicas; when they are ready, the first users come."""
        if rollout.asked == Action.ROLL_BACK:
            self._conclude(journal, Decision(Action.ROLL_BACK, ReasonCode.OPERATOR_REQUEST, ASKED))
            return
        self._actuator.split(Split(rollout.salt, 0.0))
        self._actuator.raise_canary(Arm(rollout.bento, rollout.challenger))
        if self._present.raised is None:
            self._present.raised = self._clock()
        if self._actuator.is_canary_ready():
            if not rollout.paused:
                self._weigh(journal, rollout, ReasonCode.CANARY_READY, "the canary is ready")
        elif self._clock() > self._present.raised + START_S:
            why = f"no replica of version {rollout.challenger} became ready in {START_S:.0f} s"
            self._conclude(journal, Decision(Action.ROLL_BACK, ReasonCode.REPLICAS_NOT_READY, why))

    def _walk(self, journal: Journal, rollout: Rollout) -> None:
        """A step: users are where they should be; what they did decides."""
        if self._present.owed is not None:
            self._conclude(journal, self._present.owed)
            return
        if rollout.asked is not None:  # first, and whether or not any evidence can be read
            self._conclude(journal, Decision(rollout.asked, ReasonCode.OPERATOR_REQUEST, ASKED))
            return
        if self._steered(rollout) and len(rollout.steered) <= rollout.step:
            rollout = self._note(journal, "steered", step=rollout.step)
        observer = self._observer(rollout)
        now = time.time()
        rollout = self._away(journal, rollout, observer.missed(now))
        evidence = observer.look(rollout, now)
        decision = self._decided(rollout, evidence, observer.policy)
        self._reporter.of_look(rollout, evidence, decision, observer.shown(), now)
        self._do(journal, rollout, decision)

    def _steered(self, rollout: Rollout) -> bool:
        """Whether users are where they should be; where that cannot be, alarms are heard still."""
        try:
            steered = self._actuator.split(Split(rollout.salt, rollout.weight))
            deaf = not steered and self._actuator.answered
        except OSError as error:
            log.error("the gateways are not steered: %s", error)  # noqa: TRY400
            steered, deaf = False, True
        if not deaf:
            self._present.deaf_since = None
        elif self._present.deaf_since is None:
            self._present.deaf_since = self._clock()
        return steered

    def _away(self, journal: Journal, rollout: Rollout, since: float | None) -> Rollout:
        """Write down when the canary goes and comes: stable answers its users meanwhile."""
        if (since is not None) == rollout.out:
            return rollout
        return self._note(journal, "back") if since is None else self._note(journal, "out", since=since)

    def _note(self, journal: Journal, entry: str, **told: Any) -> Rollout:
        """What happened, for the journal; where it takes nothing we know it all the same, and hear alarms."""
        try:
            journal.append(entry, **told)
        except OSError as error:
            log.error("not written down: %s: %s", entry, error)  # noqa: TRY400
            return fold([*journal.entries(), {"entry": entry, "time": time.time(), **told}])
        return journal.rollout()

    def _do(self, journal: Journal, rollout: Rollout, decision: Decision) -> None:
        reason, message = decision.reason, decision.message
        if decision.action == Action.ADVANCE:
            self._weigh(journal, rollout, reason, message)
        elif decision.action in CONCLUSIONS:
            self._conclude(journal, decision)
        elif reason != self._present.held:
            self._present.held = reason  # figures change at every look; another reason is news, now and then
            if self._clock() > self._present.said.get(reason, -math.inf) + SAY_S:
                self._present.said[reason] = self._clock()
                self._note(journal, "held", reason=reason, message=message)

    def _observer(self, rollout: Rollout) -> Observer:
        if self._present.observer is None:
            self._present.observer = self._observe(self._stack, rollout)
        return self._present.observer

    def _decided(self, rollout: Rollout, evidence: Evidence, policy: Policy) -> Decision:
        decision = self._decide(evidence, policy)
        deaf_s = 0.0 if self._present.deaf_since is None else self._clock() - self._present.deaf_since
        if decision.action != Action.ROLL_BACK and deaf_s > policy.unhealthy_seconds:
            # Between two weights nobody counts, so no alarm could be heard.
            why = f"the gateways do not split users as they should since {deaf_s:.0f} s"
            decision = Decision(Action.ROLL_BACK, ReasonCode.TRAFFIC_SPLIT_FAILED, why)
        # Alarms are heard in a pause too; a deadline is none.
        alarm = decision.action == Action.ROLL_BACK and decision.reason != ReasonCode.DEADLINE_EXCEEDED
        if rollout.paused and not alarm:
            return Decision(Action.HOLD, ReasonCode.PAUSED, "paused by a person", decision.evidence)
        return decision

    def _weigh(self, journal: Journal, rollout: Rollout, reason: ReasonCode, message: str) -> None:
        """The next step: written down first, so that it is taken once."""
        steps = canary_of(dict(rollout.policy)).steps
        weight = steps[rollout.step + 1]
        journal.append("weighed", step=rollout.step + 1, weight=weight, reason=reason, message=message)
        self._actuator.split(Split(rollout.salt, weight))
        log.info("%.0f%% of users: %s", 100 * weight, message)

    def _conclude(self, journal: Journal, decision: Decision) -> None:
        evidence = finite_only(decision.evidence)
        outcome, message = CONCLUSIONS[decision.action], decision.message
        told = {"outcome": outcome, "reason": decision.reason, "message": message, "evidence": evidence}
        try:
            journal.append("concluded", **told)
        except OSError:  # a full disk must keep nobody in a canary that is bad
            if outcome == Outcome.ROLLED_BACK:
                self._present.owed = decision
                log.error("rolled back, which cannot be written down: %s", message)  # noqa: TRY400
                self._actuator.split(NOBODY)
            raise
        self._present.owed = None
        log.info("%s: %s", outcome, message)
        self._finish(journal, journal.rollout())

    def _finish(self, journal: Journal, rollout: Rollout) -> None:
        """Bring about what was concluded. Users first, records after them."""
        if rollout.outcome == Outcome.PROMOTED:
            self._actuator.split(Split(rollout.salt, 1.0))
            self._promote_to_champion(self._model, rollout.challenger)
            self._actuator.crown(Arm(rollout.bento, rollout.challenger))
        self._actuator.split(NOBODY)
        self._actuator.end_canary()
        self._reporter.of_outcome(journal)
        journal.append("ended")


def popularity_of(bento: Path) -> dict[str, float]:
    """Share of all ratings by item, as the model of a Bento knows it."""
    return load_model(bento / "src" / "model").popularity()
