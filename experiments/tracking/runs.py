"""The MLflow tracking store: one parent run a search, a child a trial, found again by the search's key.

The key is a digest of the search's result file. It is the same in every clone, where run ids are
not, so that a later stage finds its run without a run id in a versioned file.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from experiments.search.trials import Trial, ranked
from experiments.tracking.data_version import DataVersion
from experiments.tracking.store import let_readers_in, project_root, store_lock, tracking_uri, translated

PARENT, TRIAL, SEARCH_KEY, DATA_DIGEST = "mlflow.parentRunId", "trial", "search_key", "data_digest"
RESTORED, REUSES, OUTCOME = "restored", "reuses_search", "outcome"
COSTS = "costs.json"  # an artefact of the search: what every trial cost, by its number

MOST_METRICS = 1000  # of one batch, by MLflow's own limit

log = logging.getLogger(__name__)
logging.getLogger("mlflow").setLevel(logging.WARNING)  # creating tables is no news to a person


class Tracker:
    """The runs of one MLflow experiment, written by the client alone: no global active run."""

    def __init__(self, experiment: str, uri: str | None = None) -> None:
        self.uri = uri or tracking_uri()
        os.environ.setdefault("MLFLOW_TRACKING_URI", self.uri)
        with translated(self.uri), store_lock(self.uri):
            self._client = MlflowClient(self.uri)
            self.experiment_id = self._experiment(experiment)

    def start_search(
        self, name: str, data: DataVersion, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Begin the parent run of a search; its run id."""
        with translated(self.uri):
            kind = {"kind": "search", DATA_DIGEST: data.digest, "data_source": data.source}
            run = self._client.create_run(self.experiment_id, run_name=name, tags={**kind, **tags})
            self._client.log_batch(run.info.run_id, params=_params(params))
            self._client.log_inputs(run.info.run_id, [_dataset_input(data)])
            return str(run.info.run_id)

    def log_trials(
        self, parent: str, trials: Sequence[Trial], tags: Mapping[str, str], *, runs: int, metric: str
    ) -> None:
        """Remember a search's trials: what each cost, and the best and the failed ones as child runs.

        Args:
            parent: the search's run.
            trials: all of them.
            tags: of every child.
            runs: children at most, for over a hundred the UI compares slowly.
            metric: by which they are the best.
        """
        costs = {str(trial.number): asdict(trial.cost) for trial in trials if trial.cost}
        self.log_json(parent, costs, COSTS)
        order = [*ranked(trials, metric), *(trial for trial in trials if not trial.folds)]
        for trial in sorted(order[:runs], key=lambda trial: trial.number):
            self._log_trial(parent, trial, tags)

    def _log_trial(self, parent: str, trial: Trial, tags: Mapping[str, str]) -> None:
        """Write one trial as a child run, with the error after each epoch that was looked at."""
        named = {PARENT: parent, TRIAL: str(trial.number), "algorithm": trial.algorithm, "kind": "trial"}
        reasons = {"failure": trial.failure, "pruned": trial.pruned}
        failure = {key: reason[:5000] for key, reason in reasons.items() if reason}
        metrics = _metrics(trial.metrics()) if trial.folds else []
        metrics += [Metric("epoch_error", error, _now(), epoch) for epoch, error in trial.curve]
        for step, fold in enumerate(trial.folds):
            metrics += [
                Metric("fold_rmse", fold.rmse, _now(), step),
                Metric("fold_mae", fold.mae, _now(), step),
            ]
        worked = sum(fold.fit_seconds + fold.predict_seconds for fold in trial.folds)
        with translated(self.uri):
            run = self._client.create_run(
                self.experiment_id,
                run_name=f"{trial.number:02d} {trial.label}"[:250],
                start_time=_now() - int(worked * 1000),  # it is written when done
                tags={**named, **failure, **tags},
            )
            params = _params({"algorithm": trial.algorithm, **trial.parameters})
            self._client.log_batch(run.info.run_id, metrics=metrics, params=params)
            self._client.set_terminated(run.info.run_id, "FAILED" if trial.failure else "FINISHED")

    def end_search(self, run_id: str, key: str) -> None:
        """Mark a search as finished, to be found by its key."""
        with translated(self.uri):
            self._client.set_tag(run_id, SEARCH_KEY, key)
            self._client.set_terminated(run_id, "FINISHED")

    def fail(self, run_id: str, reason: str) -> None:
        """Mark a run as failed, with the reason; a store that cannot be reached any more is left alone."""
        try:
            self._client.set_tag(run_id, "failure", reason[:5000])
            self._client.set_terminated(run_id, "FAILED")
        except MlflowException as error:
            log.warning("run %s cannot be marked as failed: %s", run_id, error)

    def find_search(self, key: str) -> str | None:
        """Run id of the newest search with that key, in whichever experiment, or None."""
        with translated(self.uri):
            everywhere = [experiment.experiment_id for experiment in self._client.search_experiments()]
            runs = self._client.search_runs(
                everywhere,
                f"tags.{SEARCH_KEY} = '{key}'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        return str(runs[0].info.run_id) if runs else None

    def run_of(self, search: str, outcome: str, data: DataVersion, tags: Mapping[str, str]) -> str:
        """The run of a pipeline run: the search's own for its first outcome, a run beside it for others.

        A later pipeline run may reuse a search (another budget, another export). It gets a run of its
        own, which names the search, and the history of the first stays as it was.
        """
        with translated(self.uri):
            first = self._client.get_run(search)
            if first.data.tags.get(OUTCOME, outcome) == outcome:
                self._client.set_tag(search, OUTCOME, outcome)
                return search
            same = f"tags.{REUSES} = '{search}' and tags.{OUTCOME} = '{outcome}'"
            found = self._client.search_runs([first.info.experiment_id], same, max_results=1)
        if found:
            return str(found[0].info.run_id)
        linked = {**tags, REUSES: search, OUTCOME: outcome}
        run_id = self.start_search(f"{first.info.run_name}, reused", data, first.data.params, linked)
        with translated(self.uri):
            self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def log_json(self, run_id: str, tree: Mapping[str, Any], name: str) -> None:
        """Keep what belongs to a run and to no versioned file, such as times."""
        with translated(self.uri):
            self._client.log_dict(run_id, dict(tree), name)

    def logged_json(self, run_id: str, name: str) -> dict[str, Any]:
        """What `log_json` kept; empty where this store has none."""
        with translated(self.uri), TemporaryDirectory() as folder:
            if name not in {file.path for file in self._client.list_artifacts(run_id)}:
                return {}
            path = Path(self._client.download_artifacts(run_id, name, folder))
            tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return tree

    def log(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add figures and facts to a run, finished or not."""
        run_tags = [RunTag(key, value[:5000]) for key, value in (tags or {}).items()]
        with translated(self.uri):
            self._client.log_batch(run_id, metrics=_metrics(metrics or {}), tags=run_tags)

    def log_curves(self, run_id: str, curves: Mapping[str, Iterable[tuple[int, float]]]) -> None:
        """Add values by epoch to a run."""
        points = [
            Metric(key, value, _now(), epoch) for key, curve in curves.items() for epoch, value in curve
        ]
        with translated(self.uri):
            for start in range(0, len(points), MOST_METRICS):
                self._client.log_batch(run_id, metrics=points[start : start + MOST_METRICS])

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Keep a file with a run."""
        with translated(self.uri):
            self._client.log_artifact(run_id, str(path), folder)

    def recent_searches(self, n: int) -> list[str]:
        """Run ids of the newest finished searches with figures to compare, newest first."""
        with translated(self.uri):
            runs = self._client.search_runs(
                [self.experiment_id],
                "tags.kind = 'search' and attributes.status = 'FINISHED' and metrics.rmse > 0",
                order_by=["attributes.start_time DESC"],
                max_results=n,
            )
        return [run.info.run_id for run in runs]

    def best_trials(self, run_id: str, metric: str, n: int) -> list[str]:
        """Run ids of the best trials of a search, best first."""
        with translated(self.uri):
            runs = [run for run in self._children(run_id) if metric in run.data.metrics]
        return [run.info.run_id for run in sorted(runs, key=lambda run: run.data.metrics[metric])[:n]]

    def _children(self, run_id: str) -> Iterator[Run]:
        home = self._client.get_run(run_id).info.experiment_id  # a search is found in any experiment
        token = None
        while True:
            page = self._client.search_runs(
                [home], f"tags.{PARENT} = '{run_id}'", page_token=token, max_results=1000
            )
            yield from page
            token = page.token
            if not token:
                return

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        root = project_root() / "mlartifacts" if self.uri.startswith("sqlite:") else None
        tags = {"mlflow.experimentKind": "custom_model_development"}
        location = (root / name).as_uri() if root else None
        created = str(self._client.create_experiment(name, artifact_location=location, tags=tags))
        if root is not None:
            let_readers_in(Path(self.uri.removeprefix("sqlite:///")))
        return created


def _params(params: Mapping[str, Any]) -> list[Param]:
    return [Param(key, _text(value)[:6000]) for key, value in params.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _metrics(metrics: Mapping[str, float]) -> list[Metric]:
    return [Metric(key, value, _now(), 0) for key, value in metrics.items()]


def _now() -> int:
    return int(time.time() * 1000)


def _dataset_input(data: DataVersion) -> DatasetInput:
    source = json.dumps({"uri": data.path})
    dataset = Dataset(name=data.source, digest=data.digest, source_type="local", source=source)
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def runs_path(experiment_id: str) -> str:
    """The part of the UI's address that lists the runs."""
    return f"/#/experiments/{experiment_id}/runs"


def compare_path(experiment_id: str, run_ids: Iterable[str]) -> str:
    """The part of the UI's address that compares runs, quoted so that a terminal makes it one link."""
    runs, experiments = (json.dumps(list(ids), separators=(",", ":")) for ids in (run_ids, [experiment_id]))
    return f"/#/compare-runs?runs={quote(runs)}&experiments={quote(experiments)}"
