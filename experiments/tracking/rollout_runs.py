"""Rollouts in MLflow: one run each, with metrics over time, the outcome, the journal and a figure."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from experiments.figures.rollout import RolloutPoint, plot_rollout
from experiments.figures.style import figure_style, to_standalone_svg, to_svg_element
from experiments.tracking.store_access import convert_mlflow_errors, store_lock, tracking_uri
from marquee.finite_values import drop_non_finite

RUN_KIND = "rollout"
MAX_TAG_CHARACTERS = 5000  # no more than MLflow accepts
UNKNOWN_QUALITY = {"estimate": math.nan, "low": -math.inf, "high": math.inf}


class RolloutRun:
    """MLflow run of one rollout."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._client = MlflowClient(tracking_uri())

    @classmethod
    def start(
        cls, experiment: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]
    ) -> "RolloutRun":
        """Start a run.

        Args:
            experiment: name of the experiment, which is created if necessary.
            name: name of the rollout.
            tags: tags of the run.
            params: parameters of the rollout, as JSON values.

        Raises:
            TrackingError: the tracking store is unavailable.
        """
        uri = tracking_uri()
        with convert_mlflow_errors(uri), store_lock(uri):
            client = MlflowClient(uri)
            existing = client.get_experiment_by_name(experiment)
            experiment_id = (
                client.create_experiment(experiment) if existing is None else existing.experiment_id
            )
            run = client.create_run(experiment_id, run_name=name, tags={"kind": RUN_KIND, **tags})
            run_params = [Param(key, json.dumps(value)) for key, value in params.items()]
            client.log_batch(run.info.run_id, params=run_params)
            return cls(str(run.info.run_id))

    def cancel(self, message: str) -> None:
        """End the run as killed, because the rollout could not start.

        Raises:
            TrackingError: the tracking store is unavailable.
        """
        with convert_mlflow_errors(tracking_uri()):
            self._client.set_tag(self.run_id, "message", message[:MAX_TAG_CHARACTERS])
            self._client.set_terminated(self.run_id, "KILLED")

    def log_metrics(self, metrics: Mapping[str, float], timestamp: float) -> None:
        """Log metrics with a timestamp in UTC seconds, except those that are NaN or infinite.

        Raises:
            TrackingError: the tracking store is unavailable.
        """
        with convert_mlflow_errors(tracking_uri()):
            finite = drop_non_finite(metrics)
            batch = [
                Metric(key, value, int(timestamp * 1000), int(timestamp)) for key, value in finite.items()
            ]
            self._client.log_batch(self.run_id, metrics=batch)

    def finish(
        self, outcome: str, reason: str | None, message: str, entries: Sequence[Mapping[str, Any]]
    ) -> None:
        """Log the outcome, the journal and the figure, and end the run. It is safe to call this again.

        Args:
            outcome: outcome of the rollout.
            reason: reason code; None if this version of Marquee does not know the code.
            message: the reason in words.
            entries: entries of the journal.

        Raises:
            TrackingError: the tracking store is unavailable.
        """
        with convert_mlflow_errors(tracking_uri()), TemporaryDirectory() as folder:
            tags = [RunTag("outcome", outcome), RunTag("message", message[:MAX_TAG_CHARACTERS])]
            if reason is not None:
                tags.append(RunTag("reason", reason))
            self._client.log_batch(self.run_id, tags=tags)
            lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
            self._log_text(Path(folder) / "journal.jsonl", lines)
            if points := self.load_points():
                with figure_style():
                    svg = to_standalone_svg(to_svg_element(plot_rollout(points, outcome)))
                self._log_text(Path(folder) / "confidence_sequence.svg", svg, "figures")
            self._client.set_terminated(self.run_id, "FINISHED", end_time=int(time.time() * 1000))

    def _log_text(self, path: Path, text: str, artifact_folder: str | None = None) -> None:
        """Write text to a file, and log the file as an artifact of the same name."""
        path.write_text(text, encoding="utf-8")
        self._client.log_artifact(self.run_id, str(path), artifact_folder)

    def load_points(self) -> list[RolloutPoint]:
        """Load the allocation and quality over time, at the times when the allocation was logged.

        Raises:
            TrackingError: the tracking store is unavailable.
        """
        with convert_mlflow_errors(tracking_uri()):
            allocations = self._load_metric("allocation")
            quality = {key: self._load_metric(key) for key in UNKNOWN_QUALITY}
        start = min(allocations, default=0)
        return [
            RolloutPoint(
                minutes=(second - start) / 60,
                allocation=allocations[second],
                **{key: quality[key].get(second, unknown) for key, unknown in UNKNOWN_QUALITY.items()},
            )
            for second in sorted(allocations)
        ]

    def _load_metric(self, key: str) -> dict[int, float]:
        """Return the values of a metric by time in UTC seconds."""
        history = self._client.get_metric_history(self.run_id, key)
        return {metric.step: metric.value for metric in history}
