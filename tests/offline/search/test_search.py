"""Whole searches: equal results with any number of workers, pruning, adaptive sampling, and time limits."""

import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search import worker_pool
from marquee.algorithms.registry import REGISTRY
from marquee.errors import MarqueeError
from tests.support.searches import make_search_params, run_search_to_end, trial_records


def test_results_do_not_depend_on_the_number_of_workers(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_factors": [2, 5], "n_epochs": [2, 4]}, "knn_basic": {"k": [3]}, "baseline_only": {}}
    one, two = (run_search_to_end(make_search_params(space, workers=n), source, tmp_path) for n in (1, 2))
    assert trial_records(one) == trial_records(two)
    assert [trial.number for trial in one] == list(range(6))
    assert [trial.algorithm for trial in one] == ["svd"] * 4 + ["knn_basic", "baseline_only"]
    assert list(tmp_path.iterdir()) == [], "a finished search must leave no state"


def test_diverging_trial_fails_with_its_reason_and_the_others_continue(
    source: FoldSource, tmp_path: Path
) -> None:
    params = make_search_params({"svd": {"lr_all": [0.005, 1e6]}, "baseline_only": {}})
    trials = run_search_to_end(params, source, tmp_path)
    failed = [trial for trial in trials if trial.failure]
    assert len(trials) == 3
    assert [trial.parameters for trial in failed] == [{"lr_all": 1e6}]
    assert "DivergedError: SVD diverged in epoch 1 with lr_bu=1000000.0" in str(failed[0].failure)


def test_search_in_which_all_trials_fail_is_an_error(source: FoldSource, tmp_path: Path) -> None:
    message = r"all 1 trials failed, the first one, SVD \(lr_all=1000000.0\), with DivergedError"
    with pytest.raises(MarqueeError, match=message):
        run_search_to_end(make_search_params({"svd": {"lr_all": [1e6]}}), source, tmp_path)


def test_tpe_gives_the_remaining_trainings_to_the_better_candidate(
    source: FoldSource, tmp_path: Path
) -> None:
    space = {"svd": {"reg_all": {"low": 0.001, "high": 10.0, "log": True}, "n_epochs": [2, 5]}}
    params = make_search_params({**space, "normal_predictor": {}}, sampler="tpe", n_trials=14, workers=1)
    trials = run_search_to_end(params, source, tmp_path)
    svd = [trial for trial in trials if trial.algorithm == "svd"]
    assert (len(svd), len(trials)) == (26, 27)
    assert len({trial.parameters["reg_all"] for trial in svd}) == 13


@pytest.mark.parametrize("pruner", ["curve", "median", "hyperband"])
def test_pruner_stops_trainings_but_not_the_best(source: FoldSource, tmp_path: Path, pruner: str) -> None:
    space = {"svd": {"lr_all": [0.01, 0.0005, 0.0004, 0.0003, 0.0002, 0.0001], "n_epochs": [27]}}
    complete = run_search_to_end(make_search_params(space, workers=1), source, tmp_path)
    pruned = run_search_to_end(make_search_params(space, workers=1, pruner=pruner), source, tmp_path)
    assert min(trial.mean("rmse") for trial in pruned if trial.folds) == min(
        trial.mean("rmse") for trial in complete
    )
    assert any(trial.pruned for trial in pruned)
    assert all(not trial.pruned for trial in complete)


@pytest.mark.slow
def test_search_ends_at_its_time_limit_with_the_results_so_far(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"reg_all": {"low": 0.001, "high": 1.0}, "n_epochs": [500]}}
    params = make_search_params(space, sampler="random", n_trials=10**6, max_minutes=0.1, workers=1)
    start = time.monotonic()
    trials = run_search_to_end(params, source, tmp_path)
    assert 0 < len(trials) < 10**6
    assert time.monotonic() - start < 60


def test_modules_preloaded_for_workers_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork server silently skips modules that it cannot import."""
    modules: list[str] = []
    monkeypatch.setattr(worker_pool.CONTEXT, "set_forkserver_preload", modules.extend)
    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", lambda: None)
    worker_pool.preload_worker_imports(REGISTRY)
    assert len(modules) > 2
    assert all(find_spec(name) for name in modules)
