"""MLflow runs of searches: a parent run for each search, with child runs for its best trials.

A search run is found by the digest of the search results file. Run ids differ between clones, but this digest
follows from a versioned file.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from experiments.search.metric import MetricSetting, SearchMetric
from experiments.search.trials import Trial, rank_trials
from experiments.tracking.data_version import DataVersion
from experiments.tracking.store_access import (
    SQLITE_PREFIX,
    convert_mlflow_errors,
    enable_write_ahead_log,
    project_root,
    store_lock,
    tracking_uri,
)

# Tags of runs.
PARENT, TRIAL, DATA_DIGEST = "mlflow.parentRunId", "trial", "data_digest"
SEARCH_RESULTS_DIGEST, REUSED_SEARCH, OUTCOME = "search_results_digest", "reuses_search", "outcome"
RESTORED = "restored"

TRIAL_COSTS = "costs.json"  # artifact of a search run: the cost of every trial by its number

# Limits of MLflow, or lower ones for readability.
MAX_METRICS_PER_BATCH = 1000
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 5000
MAX_RUN_NAME_LENGTH = 250
MAX_SEARCH_RESULTS = 1000

log = logging.getLogger(__name__)
logging.getLogger("mlflow").setLevel(logging.WARNING)  # otherwise MLflow logs each table that it creates


class ExperimentTracker:
    """Writes and finds the runs of one MLflow experiment, without MLflow's global active run.

    Args:
        experiment: name of the experiment; it is created if it does not exist.
        uri: tracking URI; None: that of the project.

    Raises:
        TrackingError: the tracking store cannot be reached. All methods raise it too.
    """

    def __init__(self, experiment: str, uri: str | None = None) -> None:
        self.uri = uri or tracking_uri()
        os.environ.setdefault("MLFLOW_TRACKING_URI", self.uri)
        with convert_mlflow_errors(self.uri), store_lock(self.uri):
            self._client = MlflowClient(self.uri)
            self.experiment_id = self._ensure_experiment(experiment)

    # Runs of searches

    def start_search_run(
        self, name: str, data: DataVersion, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Create the parent run of a search, and return the run id."""
        search_tags = {"kind": "search", DATA_DIGEST: data.digest, "data_source": data.source}
        with convert_mlflow_errors(self.uri):
            run = self._client.create_run(self.experiment_id, run_name=name, tags={**search_tags, **tags})
            self._client.log_batch(run.info.run_id, params=_params(params))
            self._client.log_inputs(run.info.run_id, [_dataset_input(data)])
            return str(run.info.run_id)

    def log_trials(
        self,
        parent: str,
        trials: Sequence[Trial],
        tags: Mapping[str, str],
        *,
        max_runs: int,
        metric: MetricSetting | SearchMetric,
    ) -> None:
        """Log the trials of a search: the costs of all trials as an artifact, the best trials as child runs.

        Trials without scores come last; they get child runs if `max_runs` allows.

        Args:
            parent: run id of the search.
            trials: all trials of the search.
            tags: tags of every child run.
            max_runs: maximum number of child runs; MLflow's UI is slow to compare more than a hundred.
            metric: metric of the search, by which the best trials are chosen.
        """
        search_metric = SearchMetric.parse(metric)
        costs = {str(trial.number): asdict(trial.cost) for trial in trials if trial.cost}
        self.log_json(parent, costs, TRIAL_COSTS)
        ranking = rank_trials(trials, search_metric)
        ranked = {trial.number for trial in ranking}
        best_first = [*ranking, *(trial for trial in trials if trial.number not in ranked)]
        for trial in sorted(best_first[:max_runs], key=lambda trial: trial.number):
            self._log_trial(parent, trial, tags, search_metric)

    def finish_search_run(self, run_id: str, results_digest: str) -> None:
        """Mark a search run as finished, so that `find_search_run` finds it."""
        with convert_mlflow_errors(self.uri):
            self._client.set_tag(run_id, SEARCH_RESULTS_DIGEST, results_digest)
            self._client.set_terminated(run_id, "FINISHED")

    def fail_run(self, run_id: str, reason: str) -> None:
        """Mark a run as failed. Only warn if the store fails, because an error here would hide the reason."""
        try:
            self._client.set_tag(run_id, "failure", reason[:MAX_TAG_LENGTH])
            self._client.set_terminated(run_id, "FAILED")
        except MlflowException as error:
            log.warning("cannot mark run %s as failed: %s", run_id, error)

    def find_search_run(self, results_digest: str) -> str | None:
        """Return the id of the newest search run with these results in any experiment, or None."""
        with convert_mlflow_errors(self.uri):
            experiments = [experiment.experiment_id for experiment in self._client.search_experiments()]
            runs = self._client.search_runs(
                experiments,
                f"tags.{SEARCH_RESULTS_DIGEST} = '{results_digest}'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        return str(runs[0].info.run_id) if runs else None

    def find_or_create_pipeline_run(
        self, search_run: str, outcome: str, data: DataVersion, tags: Mapping[str, str]
    ) -> str:
        """Return the id of the run that records the outcome of a pipeline run; create the run if necessary.

        The first outcome of a search is recorded in the search run itself. If a later pipeline run reuses the
        search and has another outcome (because of another budget or export, for example), it gets a run of
        its own that refers to the search run.

        Args:
            search_run: run id of the search.
            outcome: digest of the outcome.
            data: the data of the search.
            tags: tags of a new run.
        """
        with convert_mlflow_errors(self.uri):
            search = self._client.get_run(search_run)
            if search.data.tags.get(OUTCOME, outcome) == outcome:
                self._client.set_tag(search_run, OUTCOME, outcome)
                return search_run
            query = f"tags.{REUSED_SEARCH} = '{search_run}' and tags.{OUTCOME} = '{outcome}'"
            runs = self._client.search_runs([search.info.experiment_id], query, max_results=1)
        if runs:
            return str(runs[0].info.run_id)
        tags = {**tags, REUSED_SEARCH: search_run, OUTCOME: outcome}
        run_id = self.start_search_run(f"{search.info.run_name}, reused", data, search.data.params, tags)
        with convert_mlflow_errors(self.uri):
            self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def recent_search_run_ids(self, n: int) -> list[str]:
        """Return the ids of the n newest search runs of the experiment that are finished and have metrics."""
        with convert_mlflow_errors(self.uri):
            runs = self._client.search_runs(
                [self.experiment_id],
                "tags.kind = 'search' and attributes.status = 'FINISHED' and metrics.n_trials > 0",
                order_by=["attributes.start_time DESC"],
                max_results=n,
            )
        return [run.info.run_id for run in runs]

    def top_trial_run_ids(self, search_run: str, metric: MetricSetting, n: int) -> list[str]:
        """Return the ids of the n best trial runs of a search, best first; those stopped early come last."""
        search_metric = SearchMetric.parse(metric)
        with convert_mlflow_errors(self.uri):
            runs = list(self._child_runs(search_run))
        losses = {run.info.run_id: search_metric.loss(run.data.metrics) for run in runs}
        scored = [run for run in runs if isfinite(losses[run.info.run_id])]
        scored.sort(key=lambda run: ("pruned" in run.data.tags, losses[run.info.run_id]))
        return [run.info.run_id for run in scored[:n]]

    # Any run

    def log_metrics_and_tags(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add metrics and tags to a run, finished or not."""
        run_tags = [RunTag(key, value[:MAX_TAG_LENGTH]) for key, value in (tags or {}).items()]
        with convert_mlflow_errors(self.uri):
            self._client.log_batch(run_id, metrics=_metrics(metrics or {}), tags=run_tags)

    def log_curves(self, run_id: str, curves: Mapping[str, Iterable[tuple[int, float]]]) -> None:
        """Add metrics that have a value for each epoch."""
        points = [
            Metric(key, value, _now_ms(), epoch) for key, curve in curves.items() for epoch, value in curve
        ]
        with convert_mlflow_errors(self.uri):
            for start in range(0, len(points), MAX_METRICS_PER_BATCH):
                self._client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_PER_BATCH])

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Copy a file to the artifacts of a run."""
        with convert_mlflow_errors(self.uri):
            self._client.log_artifact(run_id, str(path), folder)

    def log_json(self, run_id: str, values: Mapping[str, Any], name: str) -> None:
        """Store values as a JSON artifact of a run."""
        with convert_mlflow_errors(self.uri):
            self._client.log_dict(run_id, dict(values), name)

    def load_json(self, run_id: str, name: str) -> dict[str, Any]:
        """Return the values stored by `log_json`, or an empty dictionary if the run has no such artifact."""
        with convert_mlflow_errors(self.uri), TemporaryDirectory() as folder:
            if name not in {file.path for file in self._client.list_artifacts(run_id)}:
                return {}
            path = Path(self._client.download_artifacts(run_id, name, folder))
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return values

    def _log_trial(self, parent: str, trial: Trial, tags: Mapping[str, str], metric: SearchMetric) -> None:
        """Log one trial as a child run."""
        busy_seconds = sum(fold.fit_seconds + fold.predict_seconds for fold in trial.folds)
        busy_seconds += sum(part.fit_seconds + part.list_seconds for part in trial.parts)
        with convert_mlflow_errors(self.uri):
            run = self._client.create_run(
                self.experiment_id,
                run_name=f"{trial.number:02d} {trial.label}"[:MAX_RUN_NAME_LENGTH],
                start_time=_now_ms() - int(busy_seconds * 1000),  # the trial has ended by now
                tags={**_trial_tags(parent, trial), **tags},
            )
            params = _params({"algorithm": trial.algorithm, **trial.parameters})
            self._client.log_batch(run.info.run_id, metrics=_trial_metrics(trial, metric), params=params)
            self._client.set_terminated(run.info.run_id, "FAILED" if trial.failure else "FINISHED")

    def _child_runs(self, run_id: str) -> Iterator[Run]:
        experiment = self._client.get_run(run_id).info.experiment_id  # may differ from self.experiment_id
        token = None
        while True:
            page = self._client.search_runs(
                [experiment],
                f"tags.{PARENT} = '{run_id}'",
                page_token=token,
                max_results=MAX_SEARCH_RESULTS,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _ensure_experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        is_sqlite = self.uri.startswith(SQLITE_PREFIX)
        location = (project_root() / "mlartifacts" / name).as_uri() if is_sqlite else None
        tags = {"mlflow.experimentKind": "custom_model_development"}
        experiment_id = self._client.create_experiment(name, artifact_location=location, tags=tags)
        if is_sqlite:
            enable_write_ahead_log(self.uri)
        return str(experiment_id)


def runs_url_path(experiment_id: str) -> str:
    """Return the path, in MLflow's UI, of the page that lists the runs of an experiment."""
    return f"/#/experiments/{experiment_id}/runs"


def compare_url_path(experiment_id: str, run_ids: Iterable[str]) -> str:
    """Return the path, in MLflow's UI, of the page that compares runs, quoted so that terminals link it."""
    runs, experiments = (json.dumps(list(ids), separators=(",", ":")) for ids in (run_ids, [experiment_id]))
    return f"/#/compare-runs?runs={quote(runs)}&experiments={quote(experiments)}"


def _trial_tags(parent: str, trial: Trial) -> dict[str, str]:
    tags = {PARENT: parent, TRIAL: str(trial.number), "algorithm": trial.algorithm, "kind": "trial"}
    reasons = {"failure": trial.failure, "pruned": trial.pruned, "fold_failure": trial.fold_failure}
    return {**tags, **{key: reason[:MAX_TAG_LENGTH] for key, reason in reasons.items() if reason}}


def _trial_metrics(trial: Trial, metric: SearchMetric) -> list[Metric]:
    """Return the metrics of a trial, its learning curve by epoch, and its scores by fold and part."""
    now = _now_ms()
    metrics = _metrics(trial.metrics())
    metrics += [Metric(f"epoch_{metric.names[0]}", value, now, epoch) for epoch, value in trial.curve]
    for number, fold in enumerate(trial.folds):
        metrics += [Metric("fold_rmse", fold.rmse, now, number), Metric("fold_mae", fold.mae, now, number)]
    for number, part in enumerate(trial.parts):
        names = {"ndcg", *metric.names} & part.metrics.keys()
        metrics += [Metric(f"part_{name}", part.metrics[name], now, number) for name in sorted(names)]
    return metrics


def _metrics(metrics: Mapping[str, float]) -> list[Metric]:
    return [Metric(key, value, _now_ms(), 0) for key, value in metrics.items()]


def _params(params: Mapping[str, Any]) -> list[Param]:
    return [Param(key, _text(value)[:MAX_PARAM_LENGTH]) for key, value in params.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _dataset_input(data: DataVersion) -> DatasetInput:
    source = json.dumps({"uri": data.path})
    dataset = Dataset(name=data.source, digest=data.digest, source_type="local", source=source)
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def _now_ms() -> int:
    return int(time.time() * 1000)
