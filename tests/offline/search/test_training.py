"""One training of a search scores its points as Surprise would, and survives bad ones."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest
import surprise
from surprise.model_selection import KFold, cross_validate

from experiments.evaluation.cross_validation import FoldSource, Parts
from experiments.search.training import train


@pytest.fixture(scope="module")
def parts(source: FoldSource) -> Parts:
    return source.parts()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def same_seed(_: int) -> int:
    return 3


def test_scores_are_those_of_surprise_on_the_same_folds(
    ratings: pd.DataFrame, parts: Parts, pool: ThreadPoolExecutor
) -> None:
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=(1, 5)))
    twins: dict[str, tuple[list[dict[str, Any]], list[surprise.AlgoBase]]] = {
        "svd": (
            [{"n_epochs": 3}, {}],
            [surprise.SVD(n_epochs=3, random_state=3), surprise.SVD(random_state=3)],
        ),
        "slope_one": ([{}], [surprise.SlopeOne()]),
        "knn_basic": ([{"k": 2}, {"k": 9}], [surprise.KNNBasic(k=k, verbose=False) for k in (2, 9)]),
    }
    for name, (points, algorithms) in twins.items():
        outcome = train(name, points, parts, same_seed, pool, metric="rmse")
        for point, twin in zip(outcome.points, algorithms, strict=True):
            theirs = cross_validate(twin, data, ["rmse", "mae"], KFold(3, random_state=11))
            for fold in range(3):
                assert math.isclose(point.folds[fold].rmse, theirs["test_rmse"][fold], rel_tol=1e-9)
                assert math.isclose(point.folds[fold].mae, theirs["test_mae"][fold], rel_tol=1e-9)


def test_points_of_one_training_score_as_alone(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n, "n_factors": 5} for n in (2, 7, 4)]
    together = train("svd", points, parts, same_seed, pool, metric="rmse")
    assert [epoch for epoch, _ in together.curve] == [2, 4, 7]
    for point, shared in zip(points, together.points, strict=True):
        (alone,) = train("svd", [point], parts, same_seed, pool, metric="rmse").points
        assert [fold.rmse for fold in alone.folds] == [fold.rmse for fold in shared.folds]


def test_a_parameter_that_the_algorithm_chokes_on_fails_alone(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points: list[dict[str, Any]] = [{"k": 3}, {"k": 0}, {"k": 3, "similarity": "cosin"}, {"k": "ten"}]
    first, *others = train("knn_basic", points, parts, same_seed, pool, metric="rmse").points
    assert len(first.folds) == 3
    told = [str(other.failure) for other in others]
    assert told[0] == "ParameterError: KNNBasic: k=0 must be a whole number of 1 or more"
    assert told[1].startswith("ParameterError: sim_options: name='cosin' must be one of")
    assert told[2].startswith("ParameterError: KNNBasic: k='ten'")


def test_points_before_a_divergence_keep_their_scores(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n, "lr_all": 0.4, "reg_all": 0.0} for n in (1, 4000)]
    first, last = train("svd", points, parts, same_seed, pool, metric="rmse").points
    assert first.folds
    assert "DivergedError: SVD diverged in epoch" in str(last.failure)


def test_a_training_may_be_given_up_between_its_points(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n} for n in (2, 27)]
    looked: list[int] = []

    def report(epoch: int, _: float) -> bool:
        looked.append(epoch)
        return epoch >= 3

    outcome = train("svd", points, parts, same_seed, pool, metric="rmse", looks=(1, 3, 9), report=report)
    assert looked == [1, 2, 3]  # where a point ends, too
    assert len(outcome.points[0].folds) == 3
    assert str(outcome.points[1].pruned).startswith("given up after epoch 3 with RMSE")
