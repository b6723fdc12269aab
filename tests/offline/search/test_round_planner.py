"""Round planner: complete grids, reproducible draws, and rounds that follow the adaptive budget."""

import itertools
from typing import Any

from experiments.config.offline import SearchParams
from experiments.search.adaptive_budget import INITIAL_TRAININGS
from experiments.search.round_planner import RoundPlanner, ScheduledTraining
from experiments.search.training_result import PointResult, TrainingId, TrainingResult
from experiments.search.training_space import candidate_spaces
from experiments.search.trials import FoldScore
from tests.support.searches import make_search_params

LOG_RANGE = {"low": 0.001, "high": 0.1, "log": True}


def make_planner(search: SearchParams, seed: int = 1) -> RoundPlanner:
    return RoundPlanner(search, candidate_spaces(search), seed, "rmse")


def first_round_points(search: SearchParams, seed: int = 1) -> list[tuple[str, dict[str, Any]]]:
    """Return the candidate and the parameters of each point in the first round."""
    spaces = candidate_spaces(search)
    return [
        (training.id.candidate, dict(point))
        for training in make_planner(search, seed).next_round({})
        for point in spaces[training.id.candidate].points_of_training(training.parameters or {})
    ]


def make_result(error: float) -> TrainingResult:
    return TrainingResult((PointResult({}, (FoldScore(error, error, 0.0, 1, 0.1, 0.1),)),))


def run_all_rounds(search: SearchParams, errors: dict[str, float]) -> list[ScheduledTraining]:
    """Return all trainings of a search in which each candidate always has the given error."""
    planner = make_planner(search)
    results: dict[TrainingId, TrainingResult] = {}
    trainings: list[ScheduledTraining] = []
    while scheduled := planner.next_round(results):
        trainings += scheduled
        results |= {training.id: make_result(errors[training.id.candidate]) for training in scheduled}
    assert len(results) == len(trainings), "a training was scheduled twice"
    return trainings


# Grid and defaults


def test_grid_has_every_combination_once() -> None:
    space: dict[str, list[Any]] = {"n_factors": [2, 4, 8], "reg_all": [0.02, 0.1], "n_epochs": [5, 10]}
    points = first_round_points(make_search_params({"svd": space}))
    expected = [
        ("svd", dict(zip(space, values, strict=True))) for values in itertools.product(*space.values())
    ]
    assert len(points) == 12
    assert all(point in points for point in expected)
    assert all(list(parameters) == list(space) for _, parameters in points)


def test_grid_has_one_round() -> None:
    planner = make_planner(make_search_params({"svd": {"n_factors": [1, 2]}}))
    assert planner.max_trainings == 2
    results = {TrainingId("svd", number): make_result(1.0) for number in range(2)}
    assert planner.next_round(results) == []


def test_empty_space_is_one_point() -> None:
    assert first_round_points(make_search_params({"slope_one": {}})) == [("slope_one", {})]


def test_defaults_sampler_runs_each_candidate_once_with_default_parameters() -> None:
    search = make_search_params({"svd": {"n_factors": [1, 2]}, "nmf": {}}, sampler="defaults")
    assert first_round_points(search) == [("svd", {}), ("nmf", {})]


def test_baselines_run_first_then_the_first_training_of_every_candidate() -> None:
    search = make_search_params(
        {"svd": {"n_factors": [1, 2]}, "nmf": {"n_factors": [3, 4]}, "baseline_only": {}}
    )
    ids = [training.id for training in make_planner(search).next_round({})]
    assert ids == [("baseline_only", 0), ("svd", 0), ("nmf", 0), ("svd", 1), ("nmf", 1)]


def test_listed_order_runs_candidates_as_in_the_file() -> None:
    candidates = {"svd": {"n_factors": [1, 2]}, "nmf": {"n_factors": [3, 4]}, "baseline_only": {}}
    planner = make_planner(make_search_params(candidates, order="listed"))
    names = [training.id.candidate for training in planner.next_round({})]
    assert names == ["svd", "svd", "nmf", "nmf", "baseline_only"]


# Random and TPE


def test_draw_depends_only_on_seed_candidate_and_training_number() -> None:
    candidates = {"svd": {"lr_all": LOG_RANGE}, "nmf": {"n_factors": {"low": 2, "high": 9}}}
    search = make_search_params(candidates, sampler="random")
    first, again, other_seed = (first_round_points(search, seed) for seed in (1, 1, 2))
    assert first == again != other_seed
    alone = first_round_points(make_search_params({"svd": {"lr_all": LOG_RANGE}}, sampler="random"))
    assert [point for point in first if point[0] == "svd"] == alone
    assert all(0.001 <= parameters["lr_all"] <= 0.1 for _, parameters in alone)


def test_range_between_integers_draws_integers() -> None:
    for log in (True, False):
        space: dict[str, Any] = {"svd": {"n_factors": {"low": 2, "high": 4, "log": log}}}
        trainings = run_all_rounds(make_search_params(space, sampler="random", n_trials=60), {"svd": 1.0})
        assert len(trainings) == 60
        assert {(training.parameters or {})["n_factors"] for training in trainings} == {2, 3, 4}


def test_random_sampling_from_lists_is_without_replacement_and_ends_with_the_space() -> None:
    space = {"svd": {"n_factors": [1, 2, 3], "biased": [True, False]}, "slope_one": {}}
    search = make_search_params(space, sampler="random", n_trials=50)
    trainings = run_all_rounds(search, {"svd": 1.0, "slope_one": 1.0})
    combinations = [(training.id.candidate, str(training.parameters)) for training in trainings]
    assert len(combinations) == len(set(combinations)) == 7


def test_tpe_leaves_parameters_open_until_a_training_is_claimed() -> None:
    search = make_search_params({"svd": {"lr_all": LOG_RANGE}, "slope_one": {}}, sampler="tpe")
    trainings = make_planner(search).next_round({})
    parameters = {
        name: [training.parameters for training in trainings if training.id.candidate == name]
        for name in search.candidates
    }
    assert parameters == {"svd": [None] * INITIAL_TRAININGS, "slope_one": [{}]}


def test_rounds_use_up_n_trials_and_favor_the_better_candidate() -> None:
    space = {name: {"lr_all": LOG_RANGE} for name in ("svd", "svdpp")}
    search = make_search_params(space, sampler="random", n_trials=11)
    trainings = run_all_rounds(search, {"svd": 0.9, "svdpp": 1.1})
    assert len(trainings) == 11
    names = [training.id.candidate for training in trainings]
    assert names.count("svd") > names.count("svdpp")
