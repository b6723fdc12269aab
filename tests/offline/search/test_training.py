"""Trainings: each point gets the scores of a separate training in Surprise, and only invalid points fail."""

import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest
import surprise
from surprise.model_selection import KFold, cross_validate

from experiments.evaluation.cross_validation import Folds, FoldSource
from experiments.search.training import train

SEED = 3


@pytest.fixture(scope="module")
def folds(source: FoldSource) -> Folds:
    return source.load_folds()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def constant_seed(_: int) -> int:
    return SEED


def test_scores_equal_those_of_surprise_on_the_same_folds(
    ratings: pd.DataFrame, folds: Folds, pool: ThreadPoolExecutor
) -> None:
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=(1, 5)))
    twins: dict[str, tuple[list[dict[str, Any]], list[surprise.AlgoBase]]] = {
        "svd": (
            [{"n_epochs": 3}, {}],
            [surprise.SVD(n_epochs=3, random_state=SEED), surprise.SVD(random_state=SEED)],
        ),
        "slope_one": ([{}], [surprise.SlopeOne()]),
        "knn_basic": ([{"k": 2}, {"k": 9}], [surprise.KNNBasic(k=k, verbose=False) for k in (2, 9)]),
    }
    for name, (points, algorithms) in twins.items():
        result = train(name, points, folds, constant_seed, pool, metric="rmse")
        for point, twin in zip(result.points, algorithms, strict=True):
            expected = cross_validate(twin, data, ["rmse", "mae"], KFold(3, random_state=11))
            for fold in range(3):
                assert math.isclose(point.folds[fold].rmse, expected["test_rmse"][fold], rel_tol=1e-9)
                assert math.isclose(point.folds[fold].mae, expected["test_mae"][fold], rel_tol=1e-9)


def test_points_of_a_shared_training_get_the_scores_of_separate_trainings(
    folds: Folds, pool: ThreadPoolExecutor
) -> None:
    points = [{"n_epochs": n, "n_factors": 5} for n in (2, 7, 4)]
    shared = train("svd", points, folds, constant_seed, pool, metric="rmse")
    assert [epoch for epoch, _ in shared.curve] == [2, 4, 7]
    for parameters, point in zip(points, shared.points, strict=True):
        (alone,) = train("svd", [parameters], folds, constant_seed, pool, metric="rmse").points
        assert [fold.rmse for fold in alone.folds] == [fold.rmse for fold in point.folds]


def test_only_invalid_points_fail(folds: Folds, pool: ThreadPoolExecutor) -> None:
    points: list[dict[str, Any]] = [{"k": 3}, {"k": 0}, {"k": 3, "similarity": "cosin"}, {"k": "ten"}]
    valid, *invalid = train("knn_basic", points, folds, constant_seed, pool, metric="rmse").points
    assert len(valid.folds) == 3
    failures = [str(point.failure) for point in invalid]
    assert failures[0] == "ParameterError: KNNBasic: k must be an integer of at least 1 (got 0)"
    unknown_similarity = r"UnknownSimilarityError: sim_options: name must be one of .* \(got 'cosin'\)"
    assert re.match(unknown_similarity, failures[1])
    assert failures[2].startswith("ParameterError: KNNBasic: k must be an integer of at least 1 (got 'ten')")


def test_points_scored_before_a_divergence_keep_their_scores(folds: Folds, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n, "lr_all": 0.4, "reg_all": 0.0} for n in (1, 4000)]
    first, last = train("svd", points, folds, constant_seed, pool, metric="rmse").points
    assert first.folds
    assert "DivergedError: SVD diverged in epoch" in str(last.failure)


def test_points_scored_before_pruning_keep_their_scores(folds: Folds, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n} for n in (2, 27)]
    epochs: list[int] = []

    def should_prune(epoch: int, _: float) -> bool:
        epochs.append(epoch)
        return epoch >= 3

    result = train(
        "svd", points, folds, constant_seed, pool,
        metric="rmse", reporting_epochs=(1, 3, 9), should_prune=should_prune,
    )  # fmt: skip
    assert epochs == [1, 2, 3]  # the reporting epochs 1 and 3, and 2, the last epoch of the first point
    assert len(result.points[0].folds) == 3
    assert str(result.points[1].pruned).startswith("stopped after epoch 3 with RMSE")
