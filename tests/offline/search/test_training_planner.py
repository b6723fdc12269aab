"""Training planner: complete grids, reproducible draws, and trainings that follow the adaptive budget."""

import itertools
from math import nan
from typing import Any

from experiments.config.offline import SearchParams
from experiments.search.training_planner import ScheduledTraining, TrainingPlanner
from experiments.search.training_result import TrainingId
from experiments.search.training_space import candidate_spaces
from tests.support.searches import make_search_params

LOG_RANGE = {"low": 0.001, "high": 0.1, "log": True}


def make_planner(search: SearchParams, seed: int = 1) -> TrainingPlanner:
    return TrainingPlanner(search, candidate_spaces(search), seed)


def first_points(search: SearchParams, seed: int = 1) -> list[tuple[str, dict[str, Any]]]:
    """Return the candidate and the parameters of each point of the first trainings."""
    spaces = candidate_spaces(search)
    return [
        (training.id.candidate, dict(point))
        for training in make_planner(search, seed).next_trainings({})
        for point in spaces[training.id.candidate].points_of_training(training.parameters)
    ]


def schedule_all(search: SearchParams, losses: dict[str, float], seed: int = 1) -> list[ScheduledTraining]:
    """Return all trainings of a search in which each candidate always has the given loss."""
    planner = make_planner(search, seed)
    trainings: list[ScheduledTraining] = []
    by_id: dict[TrainingId, float] = {}
    while scheduled := planner.next_trainings(by_id):
        trainings += scheduled
        by_id |= {training.id: losses[training.id.candidate] for training in scheduled}
    assert len(by_id) == len(trainings), "a training was scheduled twice"
    return trainings


# Grid and defaults


def test_grid_has_every_combination_once() -> None:
    space: dict[str, list[Any]] = {"n_factors": [2, 4, 8], "reg_all": [0.02, 0.1], "n_epochs": [5, 10]}
    points = first_points(make_search_params({"svd": space}))
    expected = [
        ("svd", dict(zip(space, values, strict=True))) for values in itertools.product(*space.values())
    ]
    assert len(points) == 12
    assert all(point in points for point in expected)
    assert all(list(parameters) == list(space) for _, parameters in points)


def test_grid_is_scheduled_at_once() -> None:
    planner = make_planner(make_search_params({"svd": {"n_factors": [1, 2]}}))
    assert planner.max_trainings == 2
    assert len(planner.next_trainings({})) == 2
    assert planner.next_trainings({TrainingId("svd", number): 1.0 for number in range(2)}) == []


def test_empty_space_is_one_point() -> None:
    assert first_points(make_search_params({"slope_one": {}})) == [("slope_one", {})]


def test_defaults_sampler_runs_each_candidate_once_with_default_parameters() -> None:
    search = make_search_params({"svd": {"n_factors": [1, 2]}, "nmf": {}}, sampler="defaults")
    assert first_points(search) == [("svd", {}), ("nmf", {})]


# Random and TPE


def test_draw_depends_only_on_seed_candidate_and_training_number() -> None:
    candidates = {"svd": {"lr_all": LOG_RANGE}, "nmf": {"n_factors": {"low": 2, "high": 9}}}
    search = make_search_params(candidates, sampler="random")
    first, again, other_seed = (first_points(search, seed) for seed in (1, 1, 2))
    assert first == again != other_seed
    alone = first_points(make_search_params({"svd": {"lr_all": LOG_RANGE}}, sampler="random"))
    assert [point for point in first if point[0] == "svd"] == alone
    assert all(0.001 <= parameters["lr_all"] <= 0.1 for _, parameters in alone)


def test_range_between_integers_draws_integers() -> None:
    for log in (True, False):
        space: dict[str, Any] = {"svd": {"n_factors": {"low": 2, "high": 4, "log": log}}}
        trainings = schedule_all(make_search_params(space, sampler="random", n_trials=60), {"svd": 1.0})
        assert len(trainings) == 60
        assert {training.parameters["n_factors"] for training in trainings} == {2, 3, 4}


def test_random_sampling_from_lists_is_without_replacement_and_ends_with_the_space() -> None:
    space = {"svd": {"n_factors": [1, 2, 3], "biased": [True, False]}, "slope_one": {}}
    search = make_search_params(space, sampler="random", n_trials=50)
    trainings = schedule_all(search, {"svd": 1.0, "slope_one": 1.0})
    combinations = [(training.id.candidate, str(training.parameters)) for training in trainings]
    assert len(combinations) == len(set(combinations)) == 7


def test_tpe_proposes_the_same_trainings_again_and_learns_from_losses() -> None:
    candidates = {"svd": {"lr_all": LOG_RANGE}, "slope_one": {}}
    search = make_search_params(candidates, sampler="tpe", n_trials=40)

    def loss(training: ScheduledTraining, best_rate: float) -> float:
        return abs(training.parameters["lr_all"] - best_rate) if training.parameters else 1.0

    def propose_rates(best_rate: float) -> list[float]:
        planner, losses, rates = make_planner(search), dict[TrainingId, float](), list[float]()
        while scheduled := planner.next_trainings(losses):
            losses |= {training.id: loss(training, best_rate) for training in scheduled}
            rates += [training.parameters["lr_all"] for training in scheduled if training.parameters]
        return rates

    low, again, high = propose_rates(0.002), propose_rates(0.002), propose_rates(0.08)
    assert low == again
    assert low[:2] == high[:2], "the first proposals are random"
    assert sum(low[-10:]) < sum(high[-10:]) / 2


def test_failed_trainings_count_but_have_no_loss() -> None:
    search = make_search_params({"svd": {"lr_all": LOG_RANGE}}, sampler="tpe", n_trials=5)
    assert len(schedule_all(search, {"svd": nan})) == 5


def test_rounds_use_up_n_trials_and_favor_the_better_candidate() -> None:
    space = {name: {"lr_all": LOG_RANGE} for name in ("svd", "svdpp")}
    search = make_search_params(space, sampler="random", n_trials=11)
    trainings = schedule_all(search, {"svd": 0.9, "svdpp": 1.1})
    assert len(trainings) == 11
    names = [training.id.candidate for training in trainings]
    assert names.count("svd") > names.count("svdpp")
