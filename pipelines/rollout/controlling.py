"""The controller's loop: look, decide, write the decision down, act on it.

Everything that it does follows from the journal, and is written there before it is done. Killed at any line,
it does the same again: each act brings about a state, and does nothing where that state is there already.
One thing needs no journal: where a rollback cannot be written down, users are taken out of the canary all the
same.
"""

import logging
import math
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.registry import crown
from marquee.errors import MarqueeError
from marquee.finite import finite_only
from marquee.model import load_model
from marquee.promotion import Decision, Evidence, decide
from marquee.rollout import CONCLUSIONS, Rollout, fold
from pipelines.rollout.hands import Hands
from pipelines.rollout.journal import Journal, active
from pipelines.rollout.policy import canary_of
from pipelines.rollout.telling import Telling, last_look
from pipelines.rollout.watching import Watch, healthy
from service.gateway.steering import NOBODY, Split, servers_of
from service.stack.layout import STABLE, Arm, Stack, read_arms
from service.stack.warden import beat

TICK_S = 0.5
SAY_S = 60.0  # between two entries of one kind of reason to hold
START_S = 90.0  # for the canary's replicas to become ready
BY_A_PERSON = "asked for by a person"
log = logging.getLogger("controller")


@dataclass
class _Present:
    """What is remembered of the rollout that runs, and of no other."""

    journal: Path
    watch: Watch | None = None
    held: str = ""  # kind of the reason to hold
    said: dict[str, float] = field(default_factory=dict)  # by kind: when it was written down
    raised: float | None = None  # since when its replicas are being started
    deaf_since: float | None = None  # a gateway answers, and does not take the weight
    owed: Decision | None = None  # a rollback that could not be written down yet


class Controller:
    """Walks one stack's rollouts through their steps."""

    def __init__(self, stack: Stack, model: str) -> None:
        """Begin with whatever the journal says.

        Args:
            stack: that it steers.
            model: name of the registered model.
        """
        self._stack = stack
        self._model = model
        self._hands = Hands(stack)
        self._telling = Telling(stack.folder)
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
        journal = active(self._stack.folder)
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
        self._hands.split(NOBODY)
        self._hands.end_canary()
        self._telling.what_is_owed()

    def _begin(self, journal: Journal, rollout: Rollout) -> None:
        """Start the canary's replicas; when they are ready, the first users come."""
        if rollout.asked == "roll back":
            self._conclude(journal, Decision("roll back", BY_A_PERSON))
            return
        self._hands.split(Split(rollout.salt, 0.0))
        self._hands.raise_canary(Arm(rollout.bento, rollout.challenger))
        since = self._present.raised = self._present.raised or time.monotonic()
        states = [servers_of(self._stack.folder, gateway) for gateway in self._stack.gateways]
        if healthy(states):
            if not rollout.paused:
                self._weigh(journal, rollout)
        elif time.monotonic() > since + START_S:
            why = f"no replica of version {rollout.challenger} became ready in {START_S:.0f} s"
            self._conclude(journal, Decision("roll back", why))

    def _walk(self, journal: Journal, rollout: Rollout) -> None:
        """A step: users are where they should be; what they did decides."""
        if self._present.owed is not None:
            self._conclude(journal, self._present.owed)
            return
        if rollout.asked is not None:  # first, and whether or not any evidence can be read
            self._conclude(journal, Decision(rollout.asked, BY_A_PERSON))
            return
        if self._steered(rollout) and len(rollout.steered) <= rollout.step:
            rollout = self._note(journal, "steered", step=rollout.step)
        seen = self._watching(rollout)
        now = time.time()
        rollout = self._away(journal, rollout, seen.missed(now))
        evidence = seen.look(rollout, now)
        decision = self._decided(rollout, evidence, seen)
        self._telling.of_look(rollout, evidence, decision, seen.shown(), now)
        self._do(journal, rollout, decision)

    def _steered(self, rollout: Rollout) -> bool:
        """Whether users are where they should be; where that cannot be, alarms are heard still."""
        try:
            steered = self._hands.split(Split(rollout.salt, rollout.weight))
            deaf = not steered and self._hands.answered
        except OSError as error:
            log.error("the gateways are not steered: %s", error)  # noqa: TRY400
            steered, deaf = False, True
        if not deaf:
            self._present.deaf_since = None
        elif self._present.deaf_since is None:
            self._present.deaf_since = time.monotonic()
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
        if decision.action == "advance":
            self._weigh(journal, rollout, decision.reason)
        elif decision.action in CONCLUSIONS:
            self._conclude(journal, decision)
        elif (kind := re.sub(r"[\d.,+-]+", "#", decision.reason)) != self._present.held:
            self._present.held = (
                kind  # numbers change at every look; what they are about is news, now and then
            )
            if time.monotonic() > self._present.said.get(kind, -math.inf) + SAY_S:
                self._present.said[kind] = time.monotonic()
                self._note(journal, "held", reason=decision.reason)

    def _watching(self, rollout: Rollout) -> Watch:
        present = self._present
        if present.watch is None:
            arms = read_arms(self._stack.folder)
            popularity = popularity_of(Path(arms[STABLE].bento))
            canary, looked = canary_of(dict(rollout.policy)), last_look(self._stack.folder, rollout)
            present.watch = Watch(self._stack, rollout, canary, popularity, looked)
        return present.watch

    def _decided(self, rollout: Rollout, evidence: Evidence, seen: Watch) -> Decision:
        decision = decide(evidence, seen.policy)
        deaf_s = 0.0 if self._present.deaf_since is None else time.monotonic() - self._present.deaf_since
        if decision.action != "roll back" and deaf_s > seen.policy.unhealthy_seconds:
            # Between two weights nobody counts, so no alarm could be heard.
            decision = Decision(
                "roll back", f"the gateways do not split users as they should since {deaf_s:.0f} s"
            )
        # Alarms are heard in a pause too; a deadline is none.
        if rollout.paused and (decision.action != "roll back" or decision.late):
            return Decision("hold", "paused by a person", decision.figures)
        return decision

    def _weigh(self, journal: Journal, rollout: Rollout, reason: str = "the canary is ready") -> None:
        """The next step: written down first, so that it is taken once."""
        steps = canary_of(dict(rollout.policy)).steps
        weight = steps[rollout.step + 1]
        journal.append("weighed", step=rollout.step + 1, weight=weight, reason=reason)
        self._hands.split(Split(rollout.salt, weight))
        log.info("%.0f%% of users: %s", 100 * weight, reason)

    def _conclude(self, journal: Journal, decision: Decision) -> None:
        figures = finite_only(decision.figures)
        outcome = CONCLUSIONS[decision.action]
        try:
            journal.append("concluded", outcome=outcome, reason=decision.reason, figures=figures)
        except OSError:  # a full disk must keep nobody in a canary that is bad
            if outcome == "rolled back":
                self._present.owed = decision
                log.error("rolled back, which cannot be written down: %s", decision.reason)  # noqa: TRY400
                self._hands.split(NOBODY)
            raise
        self._present.owed = None
        log.info("%s: %s", outcome, decision.reason)
        self._finish(journal, journal.rollout())

    def _finish(self, journal: Journal, rollout: Rollout) -> None:
        """Bring about what was concluded. Users first, records after them."""
        if rollout.outcome == "promoted":
            self._hands.split(Split(rollout.salt, 1.0))
            crown(self._model, rollout.challenger)
            self._hands.crown(Arm(rollout.bento, rollout.challenger))
        self._hands.split(NOBODY)
        self._hands.end_canary()
        self._telling.of_outcome(journal)
        journal.append("ended")


def popularity_of(bento: Path) -> dict[str, float]:
    """Share of all ratings by item, as the model of a Bento knows it."""
    return load_model(bento / "src" / "model").popularity()
