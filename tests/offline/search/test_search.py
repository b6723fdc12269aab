"""The whole search: the same whatever the number of workers, pruned, adaptive, ended in time."""

import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search import worker_pool
from marquee.algorithms.registry import CATALOGUE
from marquee.errors import MarqueeError
from tests.support.searches import records, run, search_of


def test_the_result_does_not_depend_on_the_number_of_workers(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_factors": [2, 5], "n_epochs": [2, 4]}, "knn_basic": {"k": [3]}, "baseline_only": {}}
    one, two = (run(search_of(space, workers=n), source, tmp_path) for n in (1, 2))
    assert records(one) == records(two)
    assert [trial.number for trial in one] == list(range(6))
    assert [trial.algorithm for trial in one] == ["svd"] * 4 + ["knn_basic", "baseline_only"]
    assert list(tmp_path.iterdir()) == []  # a search that is done leaves nothing


def test_a_diverging_trial_is_kept_with_its_reason_and_the_others_go_on(
    source: FoldSource, tmp_path: Path
) -> None:
    trials = run(search_of({"svd": {"lr_all": [0.005, 1e6]}, "baseline_only": {}}), source, tmp_path)
    failed = [trial for trial in trials if trial.failure]
    assert len(trials) == 3
    assert [trial.parameters for trial in failed] == [{"lr_all": 1e6}]
    assert "DivergedError: SVD diverged in epoch 1 with lr_bu=1000000.0" in str(failed[0].failure)


def test_a_search_in_which_all_fail_ends_with_one_clear_error(source: FoldSource, tmp_path: Path) -> None:
    with pytest.raises(
        MarqueeError, match=r"all 1 trials failed; the first, SVD \(lr_all=1000000.0\): DivergedError"
    ):
        run(search_of({"svd": {"lr_all": [1e6]}}), source, tmp_path)


def test_an_adaptive_search_learns_where_it_is_good(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"reg_all": {"low": 0.001, "high": 10.0, "log": True}, "n_epochs": [2, 5]}}
    search = search_of({**space, "normal_predictor": {}}, sampler="tpe", n_trials=14, workers=1)
    trials = run(search, source, tmp_path)
    svd = [trial for trial in trials if trial.algorithm == "svd"]
    assert (len(svd), len(trials)) == (26, 27)
    assert len({trial.parameters["reg_all"] for trial in svd}) == 13


@pytest.mark.parametrize("pruner", ["curve", "median", "hyperband"])
def test_pruning_gives_up_what_is_worse_and_keeps_the_best(
    source: FoldSource, tmp_path: Path, pruner: str
) -> None:
    space = {"svd": {"lr_all": [0.01, 0.0005, 0.0004, 0.0003, 0.0002, 0.0001], "n_epochs": [27]}}
    every = run(search_of(space, workers=1), source, tmp_path)
    some = run(search_of(space, workers=1, pruner=pruner), source, tmp_path)
    assert min(t.mean("rmse") for t in some if t.folds) == min(t.mean("rmse") for t in every)
    assert any(trial.pruned for trial in some)
    assert all(not trial.pruned for trial in every)


def test_minutes_end_a_search_with_what_it_has(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"reg_all": {"low": 0.001, "high": 1.0}, "n_epochs": [500]}}
    began = time.monotonic()
    trials = run(search_of(space, sampler="random", n_trials=10**6, minutes=0.1, workers=1), source, tmp_path)
    assert 0 < len(trials) < 10**6
    assert time.monotonic() - began < 60


def test_modules_that_workers_load_ahead_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that forks them passes over a module that it cannot import, and says nothing."""
    told: list[str] = []
    monkeypatch.setattr(worker_pool.CONTEXT, "set_forkserver_preload", told.extend)
    monkeypatch.setattr(worker_pool.forkserver, "ensure_running", lambda: None)
    worker_pool.prepare(CATALOGUE)
    assert len(told) > 2
    assert all(find_spec(name) for name in told)
