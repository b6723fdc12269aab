"""The search asks for every point once, scores it as Surprise would, and survives a bad trial."""

import itertools
import math
import multiprocessing
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from surprise.model_selection import KFold, cross_validate

from experiments.config import Search
from experiments.crossval import FoldScorer, FoldSource, Task
from experiments.search import check_candidates, plan, run_search
from experiments.trials import Trial
from marquee.errors import ConfigError, MarqueeError
from marquee.split import shuffled

N_RATINGS = 400


def search_of(candidates: dict[str, Any], **changes: Any) -> Search:
    block = {"sampler": "grid", "n_trials": 3, "workers": 2, "experiment": "test"}
    return Search.model_validate({**block, "candidates": candidates, **changes})


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    pairs = rng.choice(40 * 30, size=N_RATINGS, replace=False)
    users, items = pairs // 30, pairs % 30
    taste = np.clip(np.round(3 + np.sin(users) + np.cos(items) + rng.normal(0, 0.5, N_RATINGS)), 1, 5)
    frame = pd.DataFrame({"user": users.astype(str), "item": items.astype(str), "rating": taste})
    return frame.astype({"rating": np.float32})


@pytest.fixture(scope="module")
def source(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> FoldSource:
    folder = tmp_path_factory.mktemp("split")
    ratings.to_parquet(folder / "train.parquet", index=False)
    np.save(folder / "folds.npy", shuffled(N_RATINGS, seed=11))
    return FoldSource(folder / "train.parquet", folder / "folds.npy", 3, (1.0, 5.0))


def run(search: Search, source: FoldSource) -> list[Trial]:
    return run_search(search, source, seed=42, metric="rmse", on_fold=lambda _: None, on_trial=lambda _: None)


def test_a_grid_is_complete_and_repeats_no_point() -> None:
    space = {"n_factors": [2, 4, 8], "reg_all": [0.02, 0.1], "biased": [True, False]}
    planned = [trial.parameters for _, _, trial in plan(search_of({"svd": space}), seed=1)]
    expected = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    assert len(planned) == 12
    assert all(point in planned for point in expected)


def test_the_plan_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    search = search_of({"svd": {"lr_all": {"low": 0.001, "high": 0.1, "log": True}}}, sampler="random")
    plans = [[t.parameters["lr_all"] for _, _, t in plan(search, seed)] for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    assert len(plans[0]) == 3
    assert all(0.001 <= value <= 0.1 for value in plans[0])


def test_a_range_between_integers_draws_integers() -> None:
    search = search_of({"svd": {"n_factors": {"low": 2, "high": 9}}}, sampler="random")
    assert all(isinstance(t.parameters["n_factors"], int) for _, _, t in plan(search, 1))


def test_the_defaults_sampler_tries_each_candidate_once_as_surprise_ships_it() -> None:
    planned = plan(search_of({"svd": {"n_factors": [1, 2]}, "nmf": {}}, sampler="defaults"), seed=1)
    assert [(t.algorithm, t.parameters) for _, _, t in planned] == [("svd", {}), ("nmf", {})]


def test_a_ranker_is_refused_where_errors_of_ratings_decide() -> None:
    with pytest.raises(ConfigError, match=r"candidates\.ease: EASE ranks items and predicts no rating"):
        check_candidates(search_of({"ease": {}}))


def test_an_unknown_parameter_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="svd has no parameter 'n_factor'; did you mean 'n_factors'"):
        plan(search_of({"svd": {"n_factor": [1]}}), seed=1)


def test_scores_are_those_of_surprise_on_the_same_folds(ratings: pd.DataFrame, source: FoldSource) -> None:
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=(1, 5)))
    scorer = FoldScorer(source)
    for name, twin in (("svd", surprise.SVD(random_state=3)), ("slope_one", surprise.SlopeOne())):
        theirs = cross_validate(twin, data, ["rmse", "mae"], KFold(3, random_state=11))
        for fold in range(3):
            ours = scorer(Task(0, name, {}, fold, seed=3))
            assert not isinstance(ours, str)
            assert math.isclose(ours.rmse, theirs["test_rmse"][fold], rel_tol=1e-12)
            assert math.isclose(ours.mae, theirs["test_mae"][fold], rel_tol=1e-12)


def test_the_result_does_not_depend_on_the_number_of_workers(source: FoldSource) -> None:
    space = {"svd": {"n_factors": [2, 5]}, "knn_basic": {"k": [3]}}
    one, two = (run(search_of(space, workers=n), source) for n in (1, 2))
    assert [(t.parameters, t.mean("rmse")) for t in one] == [(t.parameters, t.mean("rmse")) for t in two]


def test_a_diverging_trial_is_kept_with_its_reason_and_the_others_go_on(source: FoldSource) -> None:
    trials = run(search_of({"svd": {"lr_all": [0.005, 1e6]}, "baseline_only": {}}), source)
    failed = [trial for trial in trials if trial.failure]
    assert len(trials) == 3
    assert [trial.parameters for trial in failed] == [{"lr_all": 1e6}]
    assert "DivergedError: SVD diverged in epoch 1 with lr_bu=1000000.0" in str(failed[0].failure)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (
            {"knn_basic": {"similarity": ["cosin"]}},
            "ParameterError: sim_options: name='cosin' must be one of",
        ),
        ({"svd": {"n_factors": ["ten"]}}, "ParameterError: SVD: n_factors='ten' must be a whole number"),
    ],
)
def test_a_parameter_that_the_algorithm_chokes_on_is_one_failed_trial(
    source: FoldSource, candidate: dict[str, Any], reason: str
) -> None:
    trials = run(search_of({**candidate, "baseline_only": {}}), source)
    assert str(trials[0].failure).startswith(reason)
    assert trials[1].failure is None


def test_random_sampling_from_lists_draws_no_point_twice() -> None:
    space = {"svd": {"n_factors": [1, 2, 3], "biased": [True, False]}, "svdpp": {"n_factors": [20]}}
    planned = [t for _, _, t in plan(search_of(space, sampler="random", n_trials=4), seed=1)]
    points = [str(trial.parameters) for trial in planned if trial.algorithm == "svd"]
    assert len(points) == len(set(points)) == 4
    assert sum(trial.algorithm == "svdpp" for trial in planned) == 1


def test_a_search_in_which_all_fail_ends_with_one_clear_error(source: FoldSource) -> None:
    with pytest.raises(
        MarqueeError, match=r"all 1 trials failed; the first, SVD \(lr_all=1000000.0\): DivergedError"
    ):
        run(search_of({"svd": {"lr_all": [1e6]}}), source)


def test_a_killed_worker_ends_the_search_with_what_to_do(source: FoldSource) -> None:
    def kill_all(_: Task) -> None:
        for worker in multiprocessing.active_children():
            worker.kill()

    with pytest.raises(MarqueeError, match=r"a worker process was killed.*set search\.workers lower"):
        run_search(
            search_of({"svd": {"n_epochs": [300], "n_factors": [200, 201, 202]}}),
            source, seed=1, metric="rmse", on_fold=kill_all, on_trial=lambda _: None,
        )  # fmt: skip


def test_an_interrupted_search_leaves_no_worker_behind(source: FoldSource) -> None:
    def interrupt(_: Task) -> None:
        raise KeyboardInterrupt

    search = search_of({"svd": {"n_epochs": [300], "n_factors": [200, 201, 202]}})
    with pytest.raises(KeyboardInterrupt):
        run_search(search, source, seed=1, metric="rmse", on_fold=interrupt, on_trial=lambda _: None)
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert multiprocessing.active_children() == []
