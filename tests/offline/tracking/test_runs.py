"""MLflow remembers a search as one parent with a child a trial, and versions by their content."""

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow import MlflowClient

from experiments.search.trials import Cost, FoldScore, Trial
from experiments.tracking.data_version import DataVersion
from experiments.tracking.runs import COSTS, Tracker, compare_path
from marquee.errors import TrackingError

DATA = DataVersion("ml-100k", "0123456789abcdef0123456789abcdef.dir", "data/raw")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def tracker(uri: str, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("DVC_ROOT", str(Path(uri.removeprefix("sqlite:///")).parent))
    return Tracker("test")


def trial(number: int, algorithm: str = "svd", rmse: float = 0.9) -> Trial:
    folds = tuple(FoldScore(rmse + d, 0.7, 0.0, 2_000_000, 1.5, 0.2) for d in (0, 0.02))
    return Trial(number, algorithm, {"n_factors": 8}, folds, cost=Cost(1.5, 0.2))


def finished_search(tracker: Tracker, key: str) -> str:
    parent = tracker.start_search("test", DATA, {"seed": 42}, {"mlflow.source.git.commit": "c0ffee"})
    failed = Trial(1, "nmf", {}, failure="DivergedError: the parameters are not finite")
    tracker.log_trials(parent, [trial(0), failed], {}, runs=10, metric="rmse")
    tracker.log(parent, metrics={"rmse": 0.91})
    tracker.end_search(parent, key)
    return parent


def test_a_search_is_found_again_by_its_key(tracker: Tracker) -> None:
    parent = finished_search(tracker, "key-1")
    assert tracker.find_search("key-1") == parent
    assert tracker.find_search("another") is None


def test_of_two_searches_with_one_key_the_newest_is_found(tracker: Tracker) -> None:
    finished_search(tracker, "key-2")
    newest = finished_search(tracker, "key-2")
    assert tracker.find_search("key-2") == newest


def test_costs_come_back_by_trial_number_and_failed_trials_have_none(tracker: Tracker) -> None:
    parent = finished_search(tracker, "key-3")
    assert tracker.logged_json(parent, COSTS) == {"0": {"fit_seconds": 1.5, "predict_seconds": 0.2}}


def test_a_search_and_its_costs_are_found_from_another_experiment(tracker: Tracker) -> None:
    parent = finished_search(tracker, "key-elsewhere")
    other = Tracker("another")
    assert other.find_search("key-elsewhere") == parent
    assert other.logged_json(parent, COSTS) == {"0": {"fit_seconds": 1.5, "predict_seconds": 0.2}}


def test_a_parent_names_data_seed_and_commit(tracker: Tracker, uri: str) -> None:
    run = MlflowClient(uri).get_run(finished_search(tracker, "key-4"))
    assert run.inputs.dataset_inputs[0].dataset.digest == DATA.digest
    assert run.data.tags["data_digest"] == DATA.digest
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert run.data.params["seed"] == "42"
    assert run.data.metrics["rmse"] == 0.91


def test_a_child_carries_every_figure_and_its_parameters(tracker: Tracker, uri: str) -> None:
    parent = finished_search(tracker, "key-5")
    children = MlflowClient(uri).search_runs([tracker.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    scored = next(run for run in children if run.data.tags["trial"] == "0")
    failed = next(run for run in children if run.data.tags["trial"] == "1")
    expected = {"rmse", "rmse_std", "mae", "mae_std", "fit_seconds", "predict_seconds", "model_bytes"}
    assert expected <= set(scored.data.metrics)
    assert scored.data.params == {"algorithm": "svd", "n_factors": "8"}
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure"] == "DivergedError: the parameters are not finite"


def test_only_the_best_trials_get_a_run_and_every_cost_is_kept(tracker: Tracker, uri: str) -> None:
    parent = tracker.start_search("search", DATA, {}, {})
    errors = (0.95, 0.90, 0.99, 0.91)
    tracker.log_trials(parent, [trial(n, "svd", e) for n, e in enumerate(errors)], {}, runs=2, metric="rmse")
    tracker.end_search(parent, "key-9")
    assert len(tracker.best_trials(parent, "rmse", 9)) == 2
    best = MlflowClient(uri).get_run(tracker.best_trials(parent, "rmse", 1)[0])
    assert best.data.tags["trial"] == "1"
    assert sorted(tracker.logged_json(parent, COSTS)) == ["0", "1", "2", "3"]


def test_the_error_after_each_epoch_is_a_curve(tracker: Tracker, uri: str) -> None:
    parent = tracker.start_search("search", DATA, {}, {})
    told = replace(trial(0), curve=((1, 1.2), (10, 0.95)))
    tracker.log_trials(parent, [told], {}, runs=2, metric="rmse")
    (run,) = tracker.best_trials(parent, "rmse", 1)
    history = MlflowClient(uri).get_metric_history(run, "epoch_error")
    assert [(point.step, point.value) for point in history] == [(1, 1.2), (10, 0.95)]


def test_a_file_is_kept_with_its_run(tracker: Tracker, uri: str, tmp_path: Path) -> None:
    parent = finished_search(tracker, "key-6")
    (tmp_path / "pareto.png").write_bytes(b"png")
    tracker.log_file(parent, tmp_path / "pareto.png", "figures")
    assert [f.path for f in MlflowClient(uri).list_artifacts(parent, "figures")] == ["figures/pareto.png"]


def test_curves_of_any_length_are_kept_by_epoch(tracker: Tracker, uri: str) -> None:
    parent = finished_search(tracker, "key-7")
    curve = [(epoch, 1 / epoch) for epoch in range(1, 1502)]
    tracker.log_curves(parent, {"epoch_rmse/svd": curve, "epoch_rmse/nmf": [(1, 0.9)]})
    history = MlflowClient(uri).get_metric_history(parent, "epoch_rmse/svd")
    assert sorted((point.step, point.value) for point in history) == curve


def test_what_this_store_never_saw_is_empty(tracker: Tracker) -> None:
    assert tracker.logged_json(finished_search(tracker, "key-8"), "measured_costs.json") == {}


def test_recent_searches_are_newest_first_and_finished_only(tracker: Tracker) -> None:
    older, newer = finished_search(tracker, "a"), finished_search(tracker, "b")
    tracker.fail(tracker.start_search("broken", DATA, {}, {}), "no")
    assert tracker.recent_searches(2) == [newer, older]


def test_the_address_that_compares_runs_is_the_one_of_the_ui() -> None:
    assert unquote(compare_path("3", ["a", "b"])) == '/#/compare-runs?runs=["a","b"]&experiments=["3"]'


def test_the_best_trials_come_best_first_without_the_failed(tracker: Tracker, uri: str) -> None:
    parent = finished_search(tracker, "key-7")
    tracker.log_trials(parent, [trial(2, "svdpp", 0.8)], {}, runs=10, metric="rmse")
    best = tracker.best_trials(parent, "rmse", 5)
    assert [MlflowClient(uri).get_run(run).data.tags["trial"] for run in best] == ["2", "0"]


def test_a_store_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(TrackingError) as caught:
        Tracker("test", "file:///nowhere")
    assert "\n" not in str(caught.value)


def create(uri: str) -> str:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    return Tracker("together", uri).experiment_id


def test_two_processes_may_create_one_store_at_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        ids = pool.map(create, [uri, uri])
    assert ids[0] == ids[1]
