"""Reporter: writes the status file, and logs rollouts to MLflow.

A failure of either never stops the rollout: it is logged, and an outcome that MLflow did not accept is
recorded later.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from experiments.tracking.rollout_runs import RolloutRun
from marquee.errors import MarqueeError, TrackingError
from marquee.rollout.decision_types import Decision, ReasonCode
from marquee.rollout.evidence import Evidence
from marquee.rollout.state import Rollout, RolloutOutcome
from pipelines.rollout.journal import Journal, list_journals
from pipelines.rollout.status_file import build_status, read_status, write_status

METRICS_INTERVAL_S = 5.0  # between two uploads of metrics to MLflow
RECORD_TIMEOUT_S = 10.0  # for MLflow to accept an outcome
RETRY_INTERVAL_S = 60.0  # between attempts to record outcomes
MAX_RETRIED_ROLLOUTS = 20  # only the latest rollouts are retried
log = logging.getLogger("controller")


class TrackedRun(Protocol):
    """MLflow run of a rollout."""

    def log_metrics(self, metrics: Mapping[str, float], timestamp: float) -> None:
        """Log metrics with a timestamp in UTC seconds."""

    def finish(
        self,
        outcome: RolloutOutcome,
        reason: ReasonCode | None,
        message: str,
        entries: Sequence[Mapping[str, Any]],
    ) -> None:
        """Log the outcome and the entries of the journal, and end the run."""


class RolloutReporter:
    """Reporter of the rollouts of one stack."""

    def __init__(
        self,
        folder: Path,
        *,
        open_run: Callable[[str], TrackedRun] = RolloutRun,
        record_timeout_s: float = RECORD_TIMEOUT_S,
        retry_interval_s: float = RETRY_INTERVAL_S,
    ) -> None:
        """Create a reporter.

        Args:
            folder: folder of the stack.
            open_run: opens the MLflow run with the given id.
            record_timeout_s: seconds for MLflow to accept an outcome.
            retry_interval_s: seconds between attempts to record outcomes.
        """
        self._folder = folder
        self._open_run = open_run
        self._record_timeout_s = record_timeout_s
        self._retry_interval_s = retry_interval_s
        self._executor = ThreadPoolExecutor(1, "mlflow")  # MLflow may not respond for a minute
        self._metrics_logged_at = 0.0
        self._metrics_future: Future[None] | None = None
        self._outcome_future: Future[None] | None = None
        self._last_attempt_at = -math.inf  # to record an outcome

    def report_observation(
        self,
        rollout: Rollout,
        evidence: Evidence,
        decision: Decision,
        metrics: Mapping[str, float],
        now: float,
    ) -> None:
        """Write the status file and, every few seconds, log metrics to MLflow."""
        try:
            write_status(self._folder, build_status(rollout, evidence, decision, metrics, now))
        except OSError as error:
            log.error("cannot write the status file: %s", error)  # noqa: TRY400 - one line, no traceback
        is_due = now >= self._metrics_logged_at + METRICS_INTERVAL_S
        if rollout.run_id is not None and is_due and _is_idle(self._metrics_future):
            self._metrics_logged_at = now
            all_metrics = {**_evidence_metrics(rollout, evidence), **metrics}
            self._metrics_future = self._executor.submit(self._log_metrics, rollout.run_id, all_metrics, now)

    def _log_metrics(self, run_id: str, metrics: Mapping[str, float], now: float) -> None:
        try:
            self._open_run(run_id).log_metrics(metrics, now)
        except TrackingError as error:
            log.error("cannot log metrics to MLflow: %s", error)  # noqa: TRY400

    def record_outcome_in_mlflow(self, journal: Journal) -> None:
        """Record outcome, reason, journal and figure in MLflow, unless that has been done already."""
        rollout = journal.read_rollout()
        run_id, outcome = rollout.run_id, rollout.outcome
        if run_id is None or outcome is None or rollout.is_recorded:
            return
        self._last_attempt_at = time.monotonic()
        if not _is_idle(self._outcome_future):  # MLflow has not responded since the last attempt
            return
        entries = journal.read_entries()

        def finish_run() -> None:
            self._open_run(run_id).finish(outcome, rollout.reason, rollout.message, entries)

        try:
            self._outcome_future = self._executor.submit(finish_run)
            self._outcome_future.result(self._record_timeout_s)
        except (TrackingError, OSError) as error:  # OSError includes TimeoutError
            reason = error if str(error) else "no response"
            message = "cannot record the outcome in MLflow (%s); it is in %s and will be recorded later"
            log.error(message, reason, journal.path)  # noqa: TRY400
        else:
            journal.append("recorded")

    def retry_unrecorded_outcomes(self) -> None:
        """Record the outcomes that MLflow did not accept; do nothing if the last attempt was recent."""
        if time.monotonic() < self._last_attempt_at + self._retry_interval_s:
            return
        self._last_attempt_at = time.monotonic()
        for journal in list_journals(self._folder)[-MAX_RETRIED_ROLLOUTS:]:
            try:
                self.record_outcome_in_mlflow(journal)
            except MarqueeError as error:
                log.warning("skipping an outcome: %s", error)


def read_last_observation_time(folder: Path, rollout: Rollout) -> float:
    """Return when a controller last observed a rollout, in UTC seconds; if unknown, the start of the step."""
    status = read_status(folder, rollout.name)
    return rollout.step_started_at if status is None else status.time


def _is_idle(future: Future[None] | None) -> bool:
    return future is None or future.done()


def _evidence_metrics(rollout: Rollout, evidence: Evidence) -> dict[str, float]:
    """Return the metrics that are logged to MLflow during the rollout, by key."""
    metrics = {
        "allocation": rollout.allocation,
        "p_sample_ratio_mismatch": evidence.sample_ratio_mismatch.p,
        "outcomes_stable": float(evidence.quality_users.stable),
        "outcomes_canary": float(evidence.quality_users.canary),
    }
    for name, counts in evidence.guardrails.items():
        metrics |= {f"p_{name}": counts.p, f"canary_users_{name}": float(counts.canary)}
    for name, metric in evidence.list_metrics.items():
        metrics[f"increase_{name}"] = metric.difference.estimate
    return metrics
