"""Whole searches: equal results with any number of workers, pruning, adaptive sampling, and time limits."""

import re
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.parts import PartSource
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search import worker_pool
from experiments.search.metric import SearchMetric
from experiments.search.run import run_search
from experiments.search.specification import SearchSpec
from experiments.search.trials import Trial, point_key, rank_trials, trial_to_record
from experiments.search.user_scores import UserScores
from marquee.algorithms.registry import REGISTRY
from marquee.errors import DataError, MarqueeError
from tests.support.part_files import write_part_files
from tests.support.searches import make_search_params, run_search_to_end, run_to_outcome, trial_records


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


# Blends


def test_best_rankers_are_blended_equally_with_any_number_of_workers(
    source: FoldSource, parts: PartSource, tmp_path: Path
) -> None:
    space = {"ease": {"weighting": ["binary", "linear"], "reg": [5.0, 20.0]}, "svd": {}, "popularity": {}}
    one, two = (
        run_to_outcome(
            make_search_params(space, metric="ndcg", blend={"max_members": 2}, workers=n),
            source,
            tmp_path,
            parts,
        ).trials
        for n in (1, 2)
    )
    assert trial_records(one) == trial_records(two)
    blends = [trial for trial in one if trial.algorithm == "blend"]
    assert [[member["weight"] for member in blend.parameters["members"]] for blend in blends] == [
        [1, 1],
        [2, 1],
    ]
    assert {member["parameters"]["weighting"] for member in blends[0].parameters["members"]} == {
        "binary",
        "linear",
    }
    assert re.fullmatch(r"Blend \(2 EASE \(weighting=\w+\) \+ EASE \(weighting=\w+\)\)", blends[1].label)
    assert blends[1].parameters_text.startswith("2 EASE (reg=")
    assert all(blend.parts[0].metrics["ndcg"] > 0 for blend in blends)


def test_single_ranker_is_not_blended(source: FoldSource, parts: PartSource, tmp_path: Path) -> None:
    search = make_search_params({"ease": {}, "svd": {}}, metric="ndcg", blend={"max_members": 4})
    trials = run_to_outcome(search, source, tmp_path, parts).trials
    assert {trial.algorithm for trial in trials} == {"ease", "svd"}


# Search by lists

LIST_SPACE: dict[str, Any] = {
    "svd": {"n_factors": [2, 5], "n_epochs": [2, 4]},
    "knn_basic": {"k": [3]},
    "ease": {"reg": [1.0, 5.0, 20.0]},
    "popularity": {},
}


@pytest.fixture(scope="module")
def parts(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> PartSource:
    return write_part_files(ratings, tmp_path_factory.mktemp("parts"))


def scores_by_point(trials: list[Trial]) -> dict[str, dict[str, Any]]:
    """Return the record of each trial without its number, by its point."""
    return {
        point_key(trial.algorithm, trial.parameters): {**trial_to_record(trial), "number": None}
        for trial in trials
    }


def test_search_by_lists_depends_neither_on_the_workers_nor_on_the_order_of_the_grid(
    source: FoldSource, parts: PartSource, tmp_path: Path
) -> None:
    shuffled = {
        name: {key: values[::-1] for key, values in reversed(space.items())}
        for name, space in reversed(LIST_SPACE.items())
    }
    outcomes = [
        run_to_outcome(make_search_params(space, metric="ndcg", workers=n), source, tmp_path, parts)
        for space, n in ((LIST_SPACE, 1), (LIST_SPACE, 2), (shuffled, 2))
    ]
    one, two, other_order = (outcome.trials for outcome in outcomes)
    assert trial_records(one) == trial_records(two)
    assert scores_by_point(one) == scores_by_point(other_order)
    best, best_of_other = rank_trials(one, "ndcg")[0], rank_trials(other_order, "ndcg")[0]
    assert (best.algorithm, dict(best.parameters)) == (
        best_of_other.algorithm,
        dict(best_of_other.parameters),
    )
    ndcg, other_ndcg = (
        UserScores.from_trials(outcome.trials, outcome.columns).ndcg for outcome in outcomes[1:]
    )
    rows = [
        next(o.number for o in other_order if o.algorithm == t.algorithm and o.parameters == t.parameters)
        for t in two
    ]
    np.testing.assert_array_equal(ndcg, other_ndcg[rows])


def rank_and_number(trials: list[Trial]) -> list[Trial]:
    return [replace(trial, number=rank) for rank, trial in enumerate(rank_trials(trials, "ndcg"))]


def test_only_predictors_have_errors_and_every_complete_trial_has_lists_of_three_parts(
    source: FoldSource, parts: PartSource, tmp_path: Path
) -> None:
    trials = run_search_to_end(make_search_params(LIST_SPACE, metric="ndcg"), source, tmp_path, parts)
    for trial in trials:
        assert bool(trial.folds) == (trial.algorithm in {"svd", "knn_basic"})
        assert trial.pruned or len(trial.parts) == 3
        assert trial.cost is not None
        assert (trial.cost.predict_seconds is None) == (trial.algorithm in {"ease", "popularity"})


def test_values_of_users_average_to_the_ndcg_of_a_part(
    source: FoldSource, parts: PartSource, tmp_path: Path
) -> None:
    params = make_search_params({"popularity": {}, "ease": {}}, metric="ndcg", racing=False)
    outcome = run_to_outcome(params, source, tmp_path, parts)
    scores = UserScores.from_trials(outcome.trials, outcome.columns)
    for trial in outcome.trials:
        for number, part in enumerate(trial.parts):
            mean = scores.ndcg[trial.number, scores.part == number].mean(dtype=np.float64)
            assert mean == pytest.approx(part.metrics["ndcg"], abs=1e-7)


@pytest.mark.parametrize("metric", ["recall", "coverage", {"ndcg": 0.7, "diversity": 0.3}])
def test_any_metric_of_lists_orders_the_trials(parts: PartSource, tmp_path: Path, metric: Any) -> None:
    params = make_search_params({"popularity": {}, "ease": {"reg": [1.0, 20.0]}}, metric=metric)
    trials = run_search_to_end(params, None, tmp_path, parts)
    losses = [SearchMetric.parse(metric).loss(trial.mean_values()) for trial in rank_trials(trials, metric)]
    assert len(losses) == 3
    assert losses == sorted(losses)


def test_weighted_lists_and_errors_order_predictors(
    source: FoldSource, parts: PartSource, tmp_path: Path
) -> None:
    metric = {"ndcg": 0.5, "rmse": 0.5}
    params = make_search_params({"svd": {"n_epochs": [2, 9]}, "slope_one": {}}, metric=metric)
    trials = run_search_to_end(params, source, tmp_path, parts)
    assert len(rank_trials(trials, metric)) == 3
    assert all(trial.folds and len(trial.parts) == 3 for trial in trials)


def test_implicit_feedback_has_lists_and_no_errors(ratings: pd.DataFrame, tmp_path: Path) -> None:
    parts = write_part_files(ratings.rename(columns={"rating": "weight"}), tmp_path)
    params = make_search_params({"popularity": {}, "ease": {}}, metric="ndcg")
    protocol = EvaluationProtocol(5, 0.0, is_graded=True)
    spec = SearchSpec(params, None, parts, protocol, 42, tmp_path / "state")
    for trial in run_search(spec, lambda _: None).trials:
        assert not trial.folds
        assert trial.mean_values()["graded_ndcg"] > 0


def test_tpe_gives_the_same_trials_with_any_number_of_workers(
    source: FoldSource, parts: PartSource, tmp_path: Path
) -> None:
    space = {"ease": {"reg": {"low": 0.1, "high": 100.0, "log": True}}, "svd": {"n_factors": [2, 3]}}
    one, two = (
        run_search_to_end(
            make_search_params(space, metric="ndcg", sampler="tpe", n_trials=8, workers=n),
            source, tmp_path, parts,
        )
        for n in (1, 2)
    )  # fmt: skip
    assert trial_records(one) == trial_records(two)
    assert len(one) == 8


def test_part_without_evaluated_users_is_an_error(ratings: pd.DataFrame, tmp_path: Path) -> None:
    parts = write_part_files(ratings.assign(rating=np.float32(2)), tmp_path)
    params = make_search_params({"popularity": {}}, metric="ndcg")
    with pytest.raises(DataError, match="no user has training rows and a relevant held-out item"):
        run_search_to_end(params, None, tmp_path / "state", parts)


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
