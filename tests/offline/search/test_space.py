"""Which points a search asks for: complete grids, draws that repeat, a budget shared by promise."""

import itertools
from typing import Any

import pytest

from experiments.config.offline import Search
from experiments.search.budget import FIRST, allot, promise
from experiments.search.scheduler import Planner
from experiments.search.space import Axes, axes_of, axes_of_all, check_candidates
from experiments.search.training_queue import Slot
from experiments.search.training_result import Outcome, PointOutcome
from experiments.search.trials import FoldScore
from marquee.errors import ConfigError
from tests.support.searches import search_of


def planner_of(search: Search, seed: int = 1) -> Planner:
    return Planner(search, axes_of_all(search), seed, "rmse")


def points_of(search: Search, seed: int = 1) -> list[dict[str, Any]]:
    axes = axes_of_all(search)
    asked = Planner(search, axes, seed, "rmse").round({})
    return [
        {"": one.slot[0], **point} for one in asked for point in axes[one.slot[0]].points(one.training or {})
    ]


def outcome(*errors: float) -> Outcome:
    scores = [FoldScore(error, error, 0.0, 1, 0.1, 0.1) for error in errors]
    return Outcome(tuple(PointOutcome({}, (score,)) for score in scores))


# Grids


def test_a_grid_is_complete_and_repeats_no_point() -> None:
    space = {"n_factors": [2, 4, 8], "reg_all": [0.02, 0.1], "n_epochs": [5, 10]}
    points = points_of(search_of({"svd": space}))
    expected = [{"": "svd", **dict(zip(space, v, strict=True))} for v in itertools.product(*space.values())]
    assert len(points) == 12
    assert all(point in points for point in expected)
    assert all(list(point)[1:] == list(space) for point in points)


def test_points_that_differ_in_epochs_share_a_training() -> None:
    axes = axes_of("svd", {"n_epochs": [10, 20, 40], "n_factors": [50, 100]})
    assert axes.trainings() == [{"n_factors": 50}, {"n_factors": 100}]
    assert axes.points({"n_factors": 50}) == tuple({"n_epochs": n, "n_factors": 50} for n in (10, 20, 40))


def test_points_that_differ_in_neighbours_share_a_training() -> None:
    space: dict[str, Any] = {"k": [10, 40], "min_k": [1, 3], "similarity": ["msd", "cosine"]}
    axes = axes_of("knn_basic", {**space, "user_based": [True, False]})
    assert len(axes.trainings()) == 2
    assert len(axes.swept) == 8


def test_an_empty_space_is_one_point() -> None:
    assert points_of(search_of({"slope_one": {}})) == [{"": "slope_one"}]


def test_the_defaults_sampler_tries_each_candidate_once_as_surprise_ships_it() -> None:
    points = points_of(search_of({"svd": {"n_factors": [1, 2]}, "nmf": {}}, sampler="defaults"))
    assert points == [{"": "svd"}, {"": "nmf"}]


def test_baselines_come_first_and_everybodys_first_point_before_anybodys_second() -> None:
    search = search_of({"svd": {"n_factors": [1, 2]}, "nmf": {"n_factors": [3, 4]}, "baseline_only": {}})
    names = [one.slot for one in planner_of(search).round({})]
    assert names == [("baseline_only", 0), ("svd", 0), ("nmf", 0), ("svd", 1), ("nmf", 1)]
    listed = search_of(search.model_dump()["candidates"], order="listed")
    assert [one.slot[0] for one in planner_of(listed).round({})] == [
        "svd",
        "svd",
        "nmf",
        "nmf",
        "baseline_only",
    ]


def test_a_grid_has_one_round() -> None:
    planner = planner_of(search_of({"svd": {"n_factors": [1, 2]}}))
    assert planner.n_known == 2
    assert planner.round({("svd", 0): outcome(1.0), ("svd", 1): outcome(1.0)}) == []


# Draws

RANGE = {"low": 0.001, "high": 0.1, "log": True}


def test_a_draw_depends_on_seed_and_slot_alone() -> None:
    search = search_of(
        {"svd": {"lr_all": RANGE}, "nmf": {"n_factors": {"low": 2, "high": 9}}}, sampler="random"
    )
    first, again, other = (points_of(search, seed) for seed in (1, 1, 2))
    assert first == again != other
    alone = points_of(search_of({"svd": {"lr_all": RANGE}}, sampler="random"))
    assert [point for point in first if point[""] == "svd"] == alone
    assert all(0.001 <= point["lr_all"] <= 0.1 for point in alone)


def test_a_range_between_integers_draws_integers() -> None:
    for log in (True, False):
        space: dict[str, Any] = {"svd": {"n_factors": {"low": 2, "high": 4, "log": log}}}
        search = search_of(space, sampler="random", n_trials=60)
        planner, told = planner_of(search), dict[Slot, Outcome]()
        drawn = set()
        while asked := planner.round(told):
            for one in asked:
                drawn.add((one.training or {})["n_factors"])
                told[one.slot] = outcome(1.0)
        assert drawn == {2, 3, 4}
        assert len(told) == 60


def test_a_swept_range_is_a_ladder_with_both_ends() -> None:
    axes = axes_of("svd", {"n_epochs": Search.model_validate(
        search_of({"svd": {"n_epochs": {"low": 5, "high": 40}}}, sampler="random").model_dump()
    ).candidates["svd"]["n_epochs"]})  # fmt: skip
    epochs = [point["n_epochs"] for point in axes.swept]
    assert (epochs[0], epochs[-1], len(epochs)) == (5, 40, 8)
    assert axes.trainings() == [{}]


def test_random_sampling_from_lists_draws_no_training_twice_and_ends_with_the_space() -> None:
    space = {"svd": {"n_factors": [1, 2, 3], "biased": [True, False]}, "slope_one": {}}
    planner, told = planner_of(search_of(space, sampler="random", n_trials=50)), dict[Slot, Outcome]()
    trainings = []
    while asked := planner.round(told):
        for one in asked:
            trainings.append((one.slot[0], str(one.training)))
            told[one.slot] = outcome(1.0)
    assert len(trainings) == len(set(trainings)) == 7


def test_tpe_leaves_the_parameters_to_who_claims_the_training() -> None:
    search = search_of({"svd": {"lr_all": RANGE}, "slope_one": {}}, sampler="tpe")
    asked = planner_of(search).round({})
    assert [one.training for one in asked if one.slot[0] == "svd"] == [None] * FIRST
    assert [one.training for one in asked if one.slot[0] == "slope_one"] == [{}]


# The budget


def test_the_promising_gets_most_and_nobody_is_forgotten() -> None:
    errors = {"good": [0.90, 0.91, 0.92], "bad": [1.2, 1.21, 1.22], "level": [0.91, 0.93, 0.95]}
    chances = promise(errors)
    assert chances["good"] > chances["level"] > chances["bad"]
    given = allot(errors, {}, dict.fromkeys(errors, 1000), 200)
    assert sum(given.values()) == 200
    assert given["good"] > given["level"] > given["bad"] >= 3


def test_a_candidate_gets_no_more_than_it_has_left() -> None:
    errors = {"good": [0.9, 0.9], "other": [1.2, 1.3]}
    assert allot(errors, {}, {"good": 1, "other": 5}, 4) == {"good": 1, "other": 3}
    assert allot(errors, {}, {"good": 0, "other": 2}, 9) == {"good": 0, "other": 2}


def test_a_candidate_of_which_all_failed_is_asked_again_now_and_then() -> None:
    errors, left = {"good": [0.9, 0.95], "failed": []}, {"good": 100, "failed": 100}
    assert allot(errors, {"good": 2, "failed": 2}, left, 5) == {"good": 5, "failed": 0}
    assert allot(errors, {"good": 300, "failed": 2}, left, 5)["failed"] > 0


def test_a_budget_is_kept() -> None:
    space = {name: {"lr_all": RANGE} for name in ("svd", "svdpp")}
    planner, told = planner_of(search_of(space, sampler="random", n_trials=11)), dict[Slot, Outcome]()
    while asked := planner.round(told):
        told |= {one.slot: outcome(0.9 if one.slot[0] == "svd" else 1.1) for one in asked}
    assert len(told) == 11
    assert sum(name == "svd" for name, _ in told) > sum(name == "svdpp" for name, _ in told)


# Refusals


def test_a_ranker_is_refused_where_errors_of_ratings_decide() -> None:
    with pytest.raises(ConfigError, match=r"candidates\.ease: EASE ranks items and predicts no rating"):
        check_candidates(search_of({"ease": {}}))


def test_an_unknown_parameter_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="svd has no parameter 'n_factor'; did you mean 'n_factors'"):
        axes_of_all(search_of({"svd": {"n_factor": [1]}}))


def test_every_point_is_in_the_files_order() -> None:
    axes = Axes(("a", "n", "b"), {"a": [1], "b": [2]}, ({"n": 5},))
    assert list(axes.points({"b": 2, "a": 1})[0]) == ["a", "n", "b"]
