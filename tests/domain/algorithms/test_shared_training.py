"""Shared training gives each point the model that a separate fit would give."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.registry import REGISTRY, find_algorithm
from marquee.algorithms.shared_training import list_varying_parameters, train_shared
from marquee.errors import DivergedError, ParameterError
from tests.support.rating_samples import RatingSample, sample_ratings

EPOCH_ALGORITHMS = [
    name for name, entry in REGISTRY.items() if issubclass(entry.algorithm_class, EpochAlgorithm)
]
KNN_ALGORITHMS = [name for name in REGISTRY if name.startswith("knn_")]
SEED = 7


@pytest.fixture(scope="module")
def data() -> RatingSample:
    return sample_ratings(4, n_users=30, n_items=25, n_ratings=300, allow_repeats=False)


def assert_equals_separate_fits(name: str, points: Sequence[Mapping[str, Any]], data: RatingSample) -> None:
    users, indices = np.arange(6), []
    for snapshot in train_shared(find_algorithm(name), points, SEED, data.matrix):
        for index in snapshot.points:
            separate = find_algorithm(name).create(points[index], SEED).fit(data.matrix)
            np.testing.assert_array_equal(
                snapshot.algorithm.score_all_items(users), separate.score_all_items(users)
            )
            assert snapshot.algorithm.test(data.testset) == separate.test(data.testset)
            indices.append(index)
    assert sorted(indices) == list(range(len(points)))


@pytest.mark.parametrize("name", EPOCH_ALGORITHMS)
def test_one_training_gives_the_models_for_all_numbers_of_epochs(name: str, data: RatingSample) -> None:
    points = [{"n_epochs": n_epochs} for n_epochs in (4, 1, 6, 4)]
    assert_equals_separate_fits(name, points, data)
    assert len(list(train_shared(find_algorithm(name), points, SEED, data.matrix))) == 3


@pytest.mark.parametrize("name", KNN_ALGORITHMS)
def test_one_training_gives_the_models_for_all_k_and_similarities(name: str, data: RatingSample) -> None:
    points: list[dict[str, Any]] = [
        {"k": k, "min_k": min_k, "similarity": similarity, "min_support": 2}
        for similarity in ("msd", "cosine", "pearson", "pearson_baseline")
        for k, min_k in ((2, 1), (20, 3))
    ]
    assert_equals_separate_fits(name, [*points, {"k": 5, "min_support": 2}], data)


@pytest.mark.parametrize("name", ["slope_one", "co_clustering"])
def test_point_without_shared_parameters_gets_its_own_fit(name: str, data: RatingSample) -> None:
    assert_equals_separate_fits(name, [{}], data)


def test_zero_epochs_give_the_untrained_model(data: RatingSample) -> None:
    assert_equals_separate_fits("svd", [{"n_epochs": 0}, {"n_epochs": 2}, {"n_epochs": 0}], data)


def test_extra_epochs_yield_additional_snapshots(data: RatingSample) -> None:
    points, extra_epochs = [{"n_epochs": 5}], (1, 3, 9)
    snapshots = list(train_shared(find_algorithm("svd"), points, SEED, data.matrix, extra_epochs))
    epochs = [(snapshot.epoch, snapshot.points) for snapshot in snapshots]
    assert epochs == [(1, ()), (3, ()), (5, (0,))]
    seconds = [snapshot.seconds for snapshot in snapshots]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("name", "points", "message"),
    [
        ("svd", [{"n_epochs": -1}], "n_epochs must be an integer"),
        ("svd", [{"n_epochs": "ten"}, {"n_epochs": 3}], "n_epochs must be an integer"),
        ("knn_basic", [{"k": 3}, {"k": 0}], r"k must be an integer of at least 1 \(got 0\)"),
    ],
)
def test_invalid_parameters_are_rejected(
    name: str, points: list[dict[str, Any]], message: str, data: RatingSample
) -> None:
    with pytest.raises(ParameterError, match=message):
        list(train_shared(find_algorithm(name), points, SEED, data.matrix))


def test_points_before_a_divergence_get_their_models(data: RatingSample) -> None:
    points = [{"n_epochs": n_epochs, "lr_all": 0.25} for n_epochs in (1, 500)]
    snapshots = train_shared(find_algorithm("svd"), points, SEED, data.matrix)
    assert next(snapshots).points == (0,)
    with pytest.raises(DivergedError, match="SVD diverged in epoch"):
        next(snapshots)


@pytest.mark.parametrize("name", REGISTRY)
def test_shared_parameters_exist(name: str) -> None:
    assert set(list_varying_parameters(REGISTRY[name])) <= set(REGISTRY[name].parameter_names)
