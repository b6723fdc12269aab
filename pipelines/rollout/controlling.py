"""The controller's loop: look, decide, write the decision down, act on it.

Everything that it does follows from the journal, and is written there before it is done. Killed at any line,
it does the same again: each act brings about a state, and does nothing where that state is there already.
"""

import logging
import math
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from experiments.registry import crown
from experiments.rollouts import RolloutRun
from marquee.errors import MarqueeError, TrackingError
from marquee.model import load_model
from marquee.promotion import Decision, Evidence, decide
from marquee.rollout import CONCLUSIONS, Rollout
from pipelines.rollout.hands import Hands
from pipelines.rollout.journal import STATUS, Journal, active
from pipelines.rollout.policy import canary_of
from pipelines.rollout.watching import Watch, healthy
from pipelines.stage import write_json
from service.gateway.steering import NOBODY, Split, servers_of
from service.stack.layout import STABLE, Arm, Stack, read_arms
from service.stack.warden import beat

TICK_S = 0.5
LOG_S = 5.0  # between looks that are written to MLflow
START_S = 90.0  # for the canary's replicas to become ready
RECORD_S = 10.0  # for MLflow to take the outcome
BY_A_PERSON = "asked for by a person"
log = logging.getLogger("controller")


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
        self._watch: Watch | None = None
        self._of: Path | None = None  # the journal that is being watched
        self._held = ""
        self._logged = 0.0
        # MLflow may be far away, and silent for a minute: users do not wait for it.
        self._beside = ThreadPoolExecutor(1, "mlflow")
        self._logging: Future[None] | None = None

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
        self._watch = self._of = None

    def _begin(self, journal: Journal, rollout: Rollout) -> None:
        """Start the canary's replicas; when they are ready, the first users come."""
        if rollout.asked == "roll back":
            self._conclude(journal, Decision("roll back", BY_A_PERSON))
            return
        self._hands.split(Split(rollout.salt, 0.0))
        self._hands.raise_canary(Arm(rollout.bento, rollout.challenger))
        states = [servers_of(self._stack.folder, gateway) for gateway in self._stack.gateways]
        if healthy(states):
            self._weigh(journal, rollout)
        elif time.time() > rollout.began + START_S:
            why = f"no replica of version {rollout.challenger} became ready in {START_S:.0f} s"
            self._conclude(journal, Decision("roll back", why))

    def _walk(self, journal: Journal, rollout: Rollout) -> None:
        """A step: users are where they should be; what they did decides."""
        if rollout.asked is not None:  # first, and whether or not any evidence can be read
            self._conclude(journal, Decision(rollout.asked, BY_A_PERSON))
            return
        if self._hands.split(Split(rollout.salt, rollout.weight)) and len(rollout.steered) <= rollout.step:
            journal.append("steered", step=rollout.step)
            rollout = journal.rollout()
        seen = self._watching(journal, rollout)
        now = time.time()
        evidence = seen.look(rollout, now)
        decision = self._decided(rollout, evidence, seen)
        self._tell(rollout, evidence, decision, seen, now)
        self._do(journal, rollout, decision)

    def _do(self, journal: Journal, rollout: Rollout, decision: Decision) -> None:
        if decision.action == "advance":
            self._weigh(journal, rollout, decision.reason)
        elif decision.action in CONCLUSIONS:
            self._conclude(journal, decision)
        elif (kind := re.sub(r"[\d.,+-]+", "#", decision.reason)) != self._held:
            self._held = kind  # numbers change at every look; what they are about is news
            journal.append("held", reason=decision.reason)

    def _watching(self, journal: Journal, rollout: Rollout) -> Watch:
        if self._watch is None or self._of != journal.path:
            arms = read_arms(self._stack.folder)
            popularity = popularity_of(Path(arms[STABLE].bento) / "src" / "model")
            self._watch = Watch(self._stack, rollout, canary_of(dict(rollout.policy)), popularity)
            self._of = journal.path
        return self._watch

    def _decided(self, rollout: Rollout, evidence: Evidence, seen: Watch) -> Decision:
        decision = decide(evidence, seen.policy)
        if rollout.paused and decision.action != "roll back":  # alarms are heard in a pause too
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
        figures = {name: value for name, value in decision.figures.items() if math.isfinite(value)}
        outcome = CONCLUSIONS[decision.action]
        journal.append("concluded", outcome=outcome, reason=decision.reason, figures=figures)
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
        self._record(journal, rollout)
        journal.append("ended")
        self._watch = self._of = None
        self._held = ""

    def _record(self, journal: Journal, rollout: Rollout) -> None:
        """The run in MLflow is for people: that it cannot be written stops nothing."""
        if rollout.run_id is None:
            return
        run_id, told = rollout.run_id, (str(rollout.outcome), rollout.reason, journal.entries())
        try:
            self._beside.submit(lambda: RolloutRun(run_id).end(*told)).result(RECORD_S)
        except (TrackingError, OSError) as error:  # a time-out is an OSError too
            log.error("the outcome is not in MLflow, but in %s: %s", journal.path, error or "it is silent")  # noqa: TRY400

    def _tell(
        self, rollout: Rollout, evidence: Evidence, decision: Decision, seen: Watch, now: float
    ) -> None:
        """Show what is known: in a file for the status, and in MLflow now and then."""
        shown = seen.shown()
        write_json(self._stack.folder / STATUS, _status(rollout, evidence, decision, shown, now))
        busy = self._logging is not None and not self._logging.done()
        if rollout.run_id is None or busy or now < self._logged + LOG_S:
            return
        self._logged = now
        figures = {"weight": rollout.weight, "p_mismatch": evidence.mismatch.p, **shown}
        figures |= {f"p_{name}": incidents.p for name, incidents in evidence.incidents.items()}
        figures |= {f"users_{name}": incidents.canary for name, incidents in evidence.incidents.items()}
        figures |= {f"drift_{name}": drift.difference.estimate for name, drift in evidence.drifts.items()}
        figures |= dict(zip(("outcomes_stable", "outcomes_canary"), evidence.quality_users, strict=True))
        self._logging = self._beside.submit(_logged, rollout.run_id, figures, now)


def _logged(run_id: str, figures: Mapping[str, float], at: float) -> None:
    try:
        RolloutRun(run_id).log(figures, at)
    except TrackingError as error:
        log.error("not in MLflow: %s", error)  # noqa: TRY400


def _status(
    rollout: Rollout, evidence: Evidence, decision: Decision, shown: Mapping[str, float], now: float
) -> dict[str, object]:
    """What `marquee canary status` shows."""
    bounds = {name: _plain(drift.difference.low) for name, drift in evidence.drifts.items()}
    return {
        "name": rollout.name,
        "time": now,
        "step": rollout.step,
        "weight": rollout.weight,
        "step_seconds": evidence.step_seconds,
        "seconds": evidence.seconds,
        "step_users": evidence.step_users,
        "action": decision.action,
        "reason": decision.reason,
        "ages": {arm: _plain(age) for arm, age in evidence.age_seconds.items()},
        "incidents": {
            name: {"canary": i.canary, "total": i.total, "p": i.p, "alarm": i.alarm}
            for name, i in (*evidence.incidents.items(), ("mismatch", evidence.mismatch))
        },
        "drifts": {
            name: {"estimate": _plain(d.difference.estimate), "low": bounds[name], "alarm": d.alarm}
            for name, d in evidence.drifts.items()
        },
        "quality": {name: _plain(getattr(evidence.quality, name)) for name in ("estimate", "low", "high")},
        "quality_users": list(evidence.quality_users),
        "restarts": evidence.restarts,
        "troubles": list(evidence.troubles),
        "shown": dict(shown),
    }


def _plain(number: float) -> float | None:
    """JSON has no infinity."""
    return number if math.isfinite(number) else None


def popularity_of(model: Path) -> dict[str, float]:
    """Share of all ratings by item."""
    fitted = load_model(model)
    rated = [(fitted.arrays.items[item], count) for item, count in fitted.popular()]
    total = max(sum(count for _, count in rated), 1)
    return {item: count / total for item, count in rated}
