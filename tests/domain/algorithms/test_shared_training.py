"""One training that answers for many points gives each the model that fitting it alone would."""

from typing import Any

import numpy as np
import pytest

from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.registry import CATALOGUE, candidate
from marquee.algorithms.shared_training import sweep, swept
from marquee.errors import DivergedError, ParameterError
from tests.support.sampled_data import Drawn, drawn

BY_EPOCHS = [name for name, one in CATALOGUE.items() if issubclass(one.factory, EpochAlgorithm)]
NEIGHBOURS = [name for name in CATALOGUE if name.startswith("knn_")]
USERS = np.arange(6, dtype=np.int32)


@pytest.fixture(scope="module")
def data() -> Drawn:
    return drawn(4, n_users=30, n_items=25, n_ratings=300, twice=False)


def assert_each_is_as_alone(name: str, points: list[dict[str, Any]], data: Drawn) -> None:
    answered = []
    for stop in sweep(candidate(name), points, 7, data.matrix):
        for number in stop.points:
            alone = candidate(name).make(points[number], 7).fit(data.matrix)
            np.testing.assert_array_equal(stop.algorithm.score_all(USERS), alone.score_all(USERS))
            assert stop.algorithm.test(data.testset) == alone.test(data.testset)
            answered.append(number)
    assert sorted(answered) == list(range(len(points)))


@pytest.mark.parametrize("name", BY_EPOCHS)
def test_one_training_answers_for_every_number_of_epochs(name: str, data: Drawn) -> None:
    points = [{"n_epochs": number} for number in (4, 1, 6, 4)]
    assert_each_is_as_alone(name, points, data)
    assert len(list(sweep(candidate(name), points, 7, data.matrix))) == 3


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_one_pass_answers_for_every_k_and_similarity(name: str, data: Drawn) -> None:
    points: list[dict[str, Any]] = [
        {"k": k, "min_k": min_k, "similarity": similarity, "min_support": 2}
        for similarity in ("msd", "cosine", "pearson", "pearson_baseline")
        for k, min_k in ((2, 1), (20, 3))
    ]
    assert_each_is_as_alone(name, [*points, {"k": 5, "min_support": 2}], data)


@pytest.mark.parametrize("name", ["slope_one", "co_clustering"])
def test_what_shares_nothing_is_fitted_alone(name: str, data: Drawn) -> None:
    assert_each_is_as_alone(name, [{}], data)


def test_no_epoch_at_all_is_a_point_too(data: Drawn) -> None:
    assert_each_is_as_alone("svd", [{"n_epochs": 0}, {"n_epochs": 2}, {"n_epochs": 0}], data)


def test_it_stops_to_be_looked_at(data: Drawn) -> None:
    stops = list(sweep(candidate("svd"), [{"n_epochs": 5}], 7, data.matrix, looks=(1, 3, 9)))
    assert [(stop.epoch, stop.points) for stop in stops] == [(1, ()), (3, ()), (5, (0,))]
    assert [stop.seconds for stop in stops] == sorted(stop.seconds for stop in stops)


def test_what_training_refuses_a_sweep_refuses(data: Drawn) -> None:
    for points in ([{"n_epochs": -1}], [{"n_epochs": "ten"}, {"n_epochs": 3}]):
        with pytest.raises(ParameterError, match="n_epochs"):
            list(sweep(candidate("svd"), points, 7, data.matrix))
    with pytest.raises(ParameterError, match="k=0"):
        list(sweep(candidate("knn_basic"), [{"k": 3}, {"k": 0}], 7, data.matrix))


def test_points_before_a_divergence_are_answered(data: Drawn) -> None:
    points = [{"n_epochs": n, "lr_all": 0.25} for n in (1, 500)]
    stops = sweep(candidate("svd"), points, 7, data.matrix)
    assert next(stops).points == (0,)
    with pytest.raises(DivergedError):
        next(stops)


def test_what_is_swept_are_parameters_of_the_candidate() -> None:
    for one in CATALOGUE.values():
        assert set(swept(one)) <= set(one.parameters)
