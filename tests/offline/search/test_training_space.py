"""Search spaces: which parameters need separate trainings, and which points one training scores."""

from typing import Any

import pytest

from experiments.search.training_space import (
    CandidateSpace,
    candidate_spaces,
    check_candidates,
    require_predictor,
    select_rankers,
    split_space,
)
from marquee.errors import ConfigError
from tests.support.searches import make_search_params


def test_points_that_differ_in_epochs_share_a_training() -> None:
    space = split_space("svd", {"n_epochs": [10, 20, 40], "n_factors": [50, 100]})
    assert space.enumerate_trainings() == [{"n_factors": 50}, {"n_factors": 100}]
    assert space.points_of_training({"n_factors": 50}) == tuple(
        {"n_epochs": n, "n_factors": 50} for n in (10, 20, 40)
    )


def test_points_that_differ_in_number_of_neighbors_share_a_training() -> None:
    neighbors: dict[str, Any] = {"k": [10, 40], "min_k": [1, 3], "similarity": ["msd", "cosine"]}
    space = split_space("knn_basic", {**neighbors, "user_based": [True, False]})
    assert len(space.enumerate_trainings()) == 2
    assert len(space.shared_points) == 8


def test_shared_range_becomes_eight_values_with_both_bounds() -> None:
    params = make_search_params({"svd": {"n_epochs": {"low": 5, "high": 40}}}, sampler="random")
    space = split_space("svd", params.spaces["svd"])
    epochs = [point["n_epochs"] for point in space.shared_points]
    assert (epochs[0], epochs[-1], len(epochs)) == (5, 40, 8)
    assert space.enumerate_trainings() == [{}]


def test_points_keep_the_parameter_order_of_params_yaml() -> None:
    space = CandidateSpace(("a", "n", "b"), {"a": [1], "b": [2]}, ({"n": 5},))
    assert list(space.points_of_training({"b": 2, "a": 1})[0]) == ["a", "n", "b"]


def test_candidate_that_only_ranks_is_accepted() -> None:
    check_candidates(make_search_params({"ease": {}}, metric="ndcg"))
    with pytest.raises(ConfigError, match="EASE ranks items and predicts no ratings"):
        check_candidates(make_search_params({"ease": {}}, metric="rmse"))


def test_search_on_ratings_needs_an_algorithm_that_predicts_them() -> None:
    params = make_search_params({"ease": {}, "svd": {}}, metric="ndcg")
    assert require_predictor(params) is params
    message = r"predicts ratings, such as svd \(got ease, popularity\); .* interactions\.feedback to implicit"
    with pytest.raises(ConfigError, match=message):
        require_predictor(make_search_params({"ease": {}, "popularity": {}}, metric="ndcg"))


def test_search_on_weights_needs_a_ranker_and_a_metric_of_lists() -> None:
    params = make_search_params({"svd": {}, "ease": {}}, metric="ndcg")
    assert list(select_rankers(params).candidates) == ["ease"]
    with pytest.raises(ConfigError, match=r"must contain an algorithm that ranks items, .* \(got svd\)"):
        select_rankers(make_search_params({"svd": {}}, metric="ndcg"))
    with pytest.raises(ConfigError, match=r"search\.metric must be a metric of lists, such as ndcg"):
        select_rankers(make_search_params({"ease": {}}, metric="rmse"))


def test_unknown_parameter_is_rejected() -> None:
    with pytest.raises(ConfigError, match="svd has no parameter 'n_factor'; did you mean 'n_factors'"):
        candidate_spaces(make_search_params({"svd": {"n_factor": [1]}}))
