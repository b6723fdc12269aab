"""Tracked runs: each search has a run, found by the digest of its results, with runs of its best trials."""

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow import MlflowClient

from experiments.search.trials import FoldScore, PartScore, Trial, TrialCost
from experiments.tracking.data_version import DataVersion
from experiments.tracking.runs import TRIAL_COSTS, ExperimentTracker, compare_url_path
from marquee.errors import TrackingError

pytestmark = pytest.mark.slow

COST = {"fit_seconds": 1.5, "predict_seconds": 0.2, "list_seconds": None}
DATA = DataVersion("ml-100k", "0123456789abcdef0123456789abcdef.dir", "data/raw")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def tracker(uri: str, monkeypatch: pytest.MonkeyPatch) -> ExperimentTracker:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("DVC_ROOT", str(Path(uri.removeprefix("sqlite:///")).parent))
    return ExperimentTracker("test")


def make_trial(number: int, algorithm: str = "svd", rmse: float = 0.9) -> Trial:
    folds = tuple(FoldScore(rmse + offset, 0.7, 0.0, 2_000_000, 1.5, 0.2) for offset in (0, 0.02))
    return Trial(number, algorithm, {"n_factors": 8}, folds, cost=TrialCost(1.5, 0.2))


def log_search(tracker: ExperimentTracker, results_digest: str) -> str:
    """Log a finished search with one scored and one failed trial; return its run id."""
    run_id = tracker.start_search_run("test", DATA, {"seed": 42}, {"mlflow.source.git.commit": "c0ffee"})
    failed = Trial(1, "nmf", {}, failure="DivergedError: the parameters are not finite")
    tracker.log_trials(run_id, [make_trial(0), failed], {}, max_runs=10, metric="rmse")
    tracker.log_metrics_and_tags(run_id, metrics={"rmse": 0.91, "n_trials": 2})
    tracker.finish_search_run(run_id, results_digest)
    return run_id


# Search runs


def test_search_run_is_found_by_its_results_digest(tracker: ExperimentTracker) -> None:
    run_id = log_search(tracker, "digest-1")
    assert tracker.find_search_run("digest-1") == run_id
    assert tracker.find_search_run("another") is None


def test_newest_of_two_search_runs_with_one_digest_is_found(tracker: ExperimentTracker) -> None:
    log_search(tracker, "digest-2")
    newest = log_search(tracker, "digest-2")
    assert tracker.find_search_run("digest-2") == newest


def test_search_run_and_its_costs_are_found_from_another_experiment(tracker: ExperimentTracker) -> None:
    run_id = log_search(tracker, "digest-elsewhere")
    other = ExperimentTracker("another")
    assert other.find_search_run("digest-elsewhere") == run_id
    assert other.load_json(run_id, TRIAL_COSTS) == {"0": COST}


def test_search_run_names_data_seed_and_commit(tracker: ExperimentTracker, uri: str) -> None:
    run = MlflowClient(uri).get_run(log_search(tracker, "digest-4"))
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == DATA.digest
    assert run.data.tags["data_digest"] == DATA.digest
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert run.data.params["seed"] == "42"
    assert run.data.metrics["rmse"] == 0.91


def test_recent_search_runs_are_finished_and_newest_first(tracker: ExperimentTracker) -> None:
    older, newer = log_search(tracker, "a"), log_search(tracker, "b")
    tracker.fail_run(tracker.start_search_run("broken", DATA, {}, {}), "no")
    assert tracker.recent_search_run_ids(2) == [newer, older]


def test_first_outcome_is_recorded_in_the_search_run_and_any_other_in_its_own_run(
    tracker: ExperimentTracker, uri: str
) -> None:
    search = log_search(tracker, "digest-10")
    runs = [tracker.find_or_create_pipeline_run(search, name, DATA, {}) for name in ("a", "b", "a", "b")]
    assert runs == [search, runs[1], search, runs[1]]
    assert MlflowClient(uri).get_run(runs[1]).data.tags["reuses_search"] == search


# Trial runs


def test_trial_run_has_all_metrics_and_parameters(tracker: ExperimentTracker, uri: str) -> None:
    parent = log_search(tracker, "digest-5")
    children = MlflowClient(uri).search_runs([tracker.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    scored = next(run for run in children if run.data.tags["trial"] == "0")
    failed = next(run for run in children if run.data.tags["trial"] == "1")
    expected = {"rmse", "rmse_std", "mae", "mae_std", "fit_seconds", "predict_seconds", "model_bytes"}
    assert expected <= set(scored.data.metrics)
    assert scored.data.params == {"algorithm": "svd", "n_factors": "8"}
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure"] == "DivergedError: the parameters are not finite"


def test_trial_costs_are_stored_by_number_and_failed_trials_have_none(tracker: ExperimentTracker) -> None:
    run_id = log_search(tracker, "digest-3")
    assert tracker.load_json(run_id, TRIAL_COSTS) == {"0": COST}


def test_only_the_best_trials_get_runs_but_all_costs_are_stored(tracker: ExperimentTracker, uri: str) -> None:
    parent = tracker.start_search_run("search", DATA, {}, {})
    trials = [make_trial(number, "svd", error) for number, error in enumerate((0.95, 0.90, 0.99, 0.91))]
    tracker.log_trials(parent, trials, {}, max_runs=2, metric="rmse")
    tracker.finish_search_run(parent, "digest-9")
    assert len(tracker.top_trial_run_ids(parent, "rmse", 9)) == 2
    best = MlflowClient(uri).get_run(tracker.top_trial_run_ids(parent, "rmse", 1)[0])
    assert best.data.tags["trial"] == "1"
    assert sorted(tracker.load_json(parent, TRIAL_COSTS)) == ["0", "1", "2", "3"]


def test_best_trial_runs_are_sorted_and_exclude_failed_trials(tracker: ExperimentTracker, uri: str) -> None:
    parent = log_search(tracker, "digest-7")
    tracker.log_trials(parent, [make_trial(2, "svdpp", 0.8)], {}, max_runs=10, metric="rmse")
    best = tracker.top_trial_run_ids(parent, "rmse", 5)
    assert [MlflowClient(uri).get_run(run).data.tags["trial"] for run in best] == ["2", "0"]


def test_trial_by_lists_is_logged_with_them_by_part_and_without_stars(
    tracker: ExperimentTracker, uri: str
) -> None:
    parent = tracker.start_search_run("search", DATA, {}, {})
    trials = [make_list_trial(0, 0.3), make_list_trial(1, 0.5), make_list_trial(2, 0.9, pruned="dropped")]
    tracker.log_trials(parent, trials, {}, max_runs=2, metric="ndcg")
    best = [MlflowClient(uri).get_run(run) for run in tracker.top_trial_run_ids(parent, "ndcg", 9)]
    assert [run.data.tags["trial"] for run in best] == ["1", "0"], "the pruned one ranks last"
    assert best[0].data.metrics["ndcg"] == 0.5
    assert best[0].data.metrics["recall"] == 0.25
    assert not {"rmse", "mae", "predict_seconds"} & best[0].data.metrics.keys()
    history = MlflowClient(uri).get_metric_history(best[0].info.run_id, "part_ndcg")
    assert [(point.step, point.value) for point in history] == [(0, 0.4), (1, 0.6)]


def make_list_trial(number: int, ndcg: float, pruned: str | None = None) -> Trial:
    values = (ndcg - 0.1, ndcg + 0.1) if pruned is None else (ndcg,)
    parts = tuple(PartScore({"ndcg": value, "recall": 0.25}, 9, {}, 100, 1.5, 0.2) for value in values)
    return Trial(number, "ease", {"reg": 7.0}, pruned=pruned, cost=TrialCost(1.5, None, 0.2), parts=parts)


def test_learning_curve_of_a_trial_is_logged_by_epoch(tracker: ExperimentTracker, uri: str) -> None:
    parent = tracker.start_search_run("search", DATA, {}, {})
    with_curve = replace(make_trial(0), curve=((1, 1.2), (10, 0.95)))
    tracker.log_trials(parent, [with_curve], {}, max_runs=2, metric="rmse")
    (run,) = tracker.top_trial_run_ids(parent, "rmse", 1)
    history = MlflowClient(uri).get_metric_history(run, "epoch_rmse")
    assert [(point.step, point.value) for point in history] == [(1, 1.2), (10, 0.95)]


# Any run


def test_file_is_stored_with_its_run(tracker: ExperimentTracker, uri: str, tmp_path: Path) -> None:
    run_id = log_search(tracker, "digest-6")
    (tmp_path / "pareto.png").write_bytes(b"png")
    tracker.log_file(run_id, tmp_path / "pareto.png", "figures")
    assert [f.path for f in MlflowClient(uri).list_artifacts(run_id, "figures")] == ["figures/pareto.png"]


def test_curves_of_any_length_are_logged_by_epoch(tracker: ExperimentTracker, uri: str) -> None:
    run_id = log_search(tracker, "digest-7")
    curve = [(epoch, 1 / epoch) for epoch in range(1, 1502)]
    tracker.log_curves(run_id, {"epoch_rmse/svd": curve, "epoch_rmse/nmf": [(1, 0.9)]})
    history = MlflowClient(uri).get_metric_history(run_id, "epoch_rmse/svd")
    assert sorted((point.step, point.value) for point in history) == curve


def test_missing_json_artifact_is_loaded_as_empty(tracker: ExperimentTracker) -> None:
    assert tracker.load_json(log_search(tracker, "digest-8"), "measured_costs.json") == {}


def test_compare_url_path_matches_the_mlflow_ui() -> None:
    assert unquote(compare_url_path("3", ["a", "b"])) == '/#/compare-runs?runs=["a","b"]&experiments=["3"]'


# Store


def test_unreachable_store_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")  # restored afterwards, unlike the tracker's
    with pytest.raises(TrackingError) as error:
        ExperimentTracker("test", "file:///nowhere")
    assert "\n" not in str(error.value)


def create_store(uri: str) -> str:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return ExperimentTracker("together", uri).experiment_id


def test_two_processes_can_create_the_same_store_at_the_same_time(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        ids = pool.map(create_store, [uri, uri])
    assert ids[0] == ids[1]
