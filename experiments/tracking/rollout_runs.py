"""Rollouts in MLflow: a run each, with weights, bounds and counts over time, the decision and its figure."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from experiments.figures.rollout import Moment, sequences
from experiments.figures.style import drawn, standalone, to_svg
from experiments.tracking.store import store_lock, tracking_uri, translated
from marquee.finite import finite_only

KIND, HEAD = "rollout", "rollout.json"
BOUNDS = ("estimate", "low", "high")


class RolloutRun:
    """The run of one rollout."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._client = MlflowClient(tracking_uri())

    @classmethod
    def start(
        cls, experiment: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]
    ) -> "RolloutRun":
        """Begin it, in an experiment of its own.

        Raises:
            TrackingError: the store refused.
        """
        uri = tracking_uri()
        with translated(uri), store_lock(uri):
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(experiment)
            where = client.create_experiment(experiment) if found is None else found.experiment_id
            run = client.create_run(where, run_name=name, tags={"kind": KIND, **tags})
            told = [Param(key, json.dumps(value)) for key, value in params.items()]
            client.log_batch(run.info.run_id, params=told)
            return cls(str(run.info.run_id))

    def never_began(self, message: str) -> None:
        """Say so of a run whose rollout was refused after all.

        Raises:
            TrackingError: the store refused.
        """
        with translated(tracking_uri()):
            self._client.set_tag(self.run_id, "message", message[:5000])
            self._client.set_terminated(self.run_id, "KILLED")

    def log(self, figures: Mapping[str, float], at: float) -> None:
        """Figures of one moment, in UTC seconds.

        Raises:
            TrackingError: the store refused.
        """
        with translated(tracking_uri()):
            known = finite_only(figures)
            metrics = [Metric(name, value, int(at * 1000), int(at)) for name, value in known.items()]
            self._client.log_batch(self.run_id, metrics=metrics)

    def end(
        self, outcome: str, reason: str | None, message: str, entries: Sequence[Mapping[str, Any]]
    ) -> None:
        """Write the decision, the journal and the figure; doing it twice is doing it once.

        Args:
            outcome: of the rollout.
            reason: code of the reason; None where the journal has none.
            message: the reason in words.
            entries: of the journal.

        Raises:
            TrackingError: the store refused.
        """
        with translated(tracking_uri()), TemporaryDirectory() as folder:
            tags = [RunTag("outcome", outcome), RunTag("message", message[:5000])]
            if reason is not None:
                tags.append(RunTag("reason", reason))
            self._client.log_batch(self.run_id, tags=tags)
            journal = Path(folder) / "journal.jsonl"
            journal.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
            self._client.log_artifact(self.run_id, str(journal))
            if moments := self.moments():
                with drawn():
                    svg = standalone(to_svg(sequences(moments, outcome)))
                drawing = Path(folder) / "confidence_sequence.svg"
                drawing.write_text(svg, encoding="utf-8")
                self._client.log_artifact(self.run_id, str(drawing), "figures")
            self._client.set_terminated(self.run_id, "FINISHED", end_time=int(time.time() * 1000))

    def moments(self) -> list[Moment]:
        """What was logged over time, at the moments at which the weight was.

        Raises:
            TrackingError: the store refused.
        """
        history: dict[str, dict[int, float]] = {
            name: {metric.step: metric.value for metric in self._client.get_metric_history(self.run_id, name)}
            for name in ("weight", *BOUNDS)
        }
        steps = sorted(history["weight"])
        unknown = {"estimate": math.nan, "low": -math.inf, "high": math.inf}
        return [
            Moment(
                (step - steps[0]) / 60,
                history["weight"][step],
                *(history[name].get(step, unknown[name]) for name in BOUNDS),
            )
            for step in steps
        ]
