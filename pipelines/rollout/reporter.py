"""What a controller says of a rollout: to whoever looks at the status, and to MLflow.

Nobody waits for either: a file that cannot be written and a store that is silent are said in the log, and the
rollout goes on. An outcome that MLflow did not take is offered again until it does.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from experiments.tracking.rollout_runs import RolloutRun
from marquee.errors import TrackingError
from marquee.files.atomic_write import write_json
from marquee.finite import finite_or_none
from marquee.rollout.decision import Decision
from marquee.rollout.policy import Evidence
from marquee.rollout.state import Rollout
from pipelines.rollout.journal import STATUS, Journal, journals

LOG_S = 5.0  # between looks that are written to MLflow
RECORD_S = 10.0  # for MLflow to take an outcome
AGAIN_S, LATEST = 60.0, 20  # between tries to record what it did not take; of so many rollouts
log = logging.getLogger("controller")


class Telling:
    """Tells of the rollouts of one stack."""

    def __init__(
        self,
        folder: Path,
        *,
        open_run: Callable[[str], RolloutRun] = RolloutRun,
        record_s: float = RECORD_S,
        again_s: float = AGAIN_S,
    ) -> None:
        """Begin with nothing told.

        Args:
            folder: of the stack.
            open_run: opens a rollout's run in MLflow by its id.
            record_s: seconds for MLflow to take an outcome.
            again_s: seconds between tries to record what it did not take.
        """
        self._folder = folder
        self._open_run, self._record_s, self._again_s = open_run, record_s, again_s
        # MLflow may be far away, and silent for a minute.
        self._beside = ThreadPoolExecutor(1, "mlflow")
        self._logged = 0.0
        self._logging: Future[None] | None = None
        self._recording: Future[None] | None = None
        self._tried = -math.inf  # when an outcome was last offered

    def of_look(
        self, rollout: Rollout, evidence: Evidence, decision: Decision, shown: Mapping[str, float], now: float
    ) -> None:
        """What was seen at one look, and what follows from it."""
        try:
            status = _status(rollout, evidence, decision, shown, now)
            write_json(
                self._folder / STATUS, status, sync=False
            )  # twice a second; a slow disk must not hold up decisions
        except OSError as error:
            log.error("the status cannot be written: %s", error)  # noqa: TRY400 - one line an incident
        busy = self._logging is not None and not self._logging.done()
        if rollout.run_id is None or busy or now < self._logged + LOG_S:
            return
        self._logged = now
        figures = {"weight": rollout.weight, "p_mismatch": evidence.mismatch.p, **shown}
        figures |= {f"p_{name}": incidents.p for name, incidents in evidence.incidents.items()}
        figures |= {f"users_{name}": incidents.canary for name, incidents in evidence.incidents.items()}
        figures |= {f"drift_{name}": drift.difference.estimate for name, drift in evidence.drifts.items()}
        figures |= dict(zip(("outcomes_stable", "outcomes_canary"), evidence.quality_users, strict=True))
        self._logging = self._beside.submit(self._log, rollout.run_id, figures, now)

    def _log(self, run_id: str, figures: Mapping[str, float], at: float) -> None:
        try:
            self._open_run(run_id).log(figures, at)
        except TrackingError as error:
            log.error("not in MLflow: %s", error)  # noqa: TRY400

    def of_outcome(self, journal: Journal) -> None:
        """How a rollout ended: decision, reason, journal, and figure."""
        rollout = journal.rollout()
        if rollout.outcome is None or rollout.recorded or rollout.run_id is None:
            return
        self._tried = time.monotonic()
        if self._recording is not None and not self._recording.done():  # silent since the last time
            return
        run_id = rollout.run_id
        told = (rollout.outcome, rollout.reason, rollout.message, journal.entries())
        try:
            self._recording = self._beside.submit(lambda: self._open_run(run_id).end(*told))
            self._recording.result(self._record_s)
        except (TrackingError, OSError) as error:  # a time-out is an OSError too
            why = error or "it is silent"
            log.error("the outcome is not in MLflow yet, but in %s: %s", journal.path, why)  # noqa: TRY400
        else:
            journal.append("recorded")

    def what_is_owed(self) -> None:
        """Offer again, now and then, what MLflow has not taken."""
        if time.monotonic() > self._tried + self._again_s:
            self._tried = time.monotonic()
            for journal in journals(self._folder)[-LATEST:]:
                self.of_outcome(journal)


def last_look(folder: Path, rollout: Rollout) -> float:
    """When a controller last looked at a rollout, in UTC seconds; else when its step began."""
    try:
        seen = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        return float(seen["time"]) if seen["name"] == rollout.name else rollout.since
    except (OSError, ValueError, KeyError, TypeError):
        return rollout.since


def _status(
    rollout: Rollout, evidence: Evidence, decision: Decision, shown: Mapping[str, float], now: float
) -> dict[str, object]:
    """What `marquee canary status` shows."""
    bounds = {name: finite_or_none(drift.difference.low) for name, drift in evidence.drifts.items()}
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
        "message": decision.message,
        "ages": {arm: finite_or_none(age) for arm, age in evidence.age_seconds.items()},
        "incidents": {
            name: {"canary": i.canary, "total": i.total, "p": i.p, "alarm": i.alarm}
            for name, i in (*evidence.incidents.items(), ("mismatch", evidence.mismatch))
        },
        "drifts": {
            name: {"estimate": finite_or_none(d.difference.estimate), "low": bounds[name], "alarm": d.alarm}
            for name, d in evidence.drifts.items()
        },
        "quality": {
            name: finite_or_none(getattr(evidence.quality, name)) for name in ("estimate", "low", "high")
        },
        "quality_users": list(evidence.quality_users),
        "restarts": evidence.restarts,
        "troubles": [trouble.message for trouble in evidence.troubles],
        "shown": dict(shown),
    }
