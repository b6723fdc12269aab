"""Trainings: each point gets the scores of a separate training in Surprise, and only invalid points fail."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from surprise.model_selection import KFold, cross_validate

from experiments.evaluation.cross_validation import Folds, FoldSource
from experiments.evaluation.list_evaluation import ListEvaluator
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search import racing
from experiments.search.metric import SearchMetric
from experiments.search.training import Leader, PruningSchedule, train_on_all_folds, train_on_part
from experiments.search.training_result import TaskResult
from marquee.algorithms.registry import Parameters, find_algorithm
from tests.support.part_files import write_part_files

SEED = 3
RMSE = SearchMetric.parse("rmse")


@pytest.fixture(scope="module")
def folds(source: FoldSource) -> Folds:
    return source.load_folds()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def constant_seed(_: int) -> int:
    return SEED


def train(
    name: str,
    points: Sequence[Parameters],
    folds: Folds,
    pool: ThreadPoolExecutor,
    pruning: PruningSchedule | None = None,
) -> TaskResult:
    numbered = dict(enumerate(points))
    return train_on_all_folds(name, numbered, folds, constant_seed, pool, metric=RMSE, pruning=pruning)


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
        result = train(name, points, folds, pool)
        for point, twin in zip(result.points, algorithms, strict=True):
            expected = cross_validate(twin, data, ["rmse", "mae"], KFold(3, random_state=11))
            for fold in range(3):
                assert math.isclose(point.folds[fold].rmse, expected["test_rmse"][fold], rel_tol=1e-9)
                assert math.isclose(point.folds[fold].mae, expected["test_mae"][fold], rel_tol=1e-9)


def test_points_of_a_shared_training_get_the_scores_of_separate_trainings(
    folds: Folds, pool: ThreadPoolExecutor
) -> None:
    points = [{"n_epochs": n, "n_factors": 5} for n in (2, 7, 4)]
    shared = train("svd", points, folds, pool)
    assert [epoch for epoch, _ in shared.curve] == [2, 4, 7]
    for parameters, point in zip(points, shared.points, strict=True):
        (alone,) = train("svd", [parameters], folds, pool).points
        assert [fold.rmse for fold in alone.folds] == [fold.rmse for fold in point.folds]


def test_only_invalid_points_fail(folds: Folds, pool: ThreadPoolExecutor) -> None:
    points: list[dict[str, Any]] = [{"k": 3}, {"k": 0}, {"k": 3, "similarity": "cosin"}, {"k": "ten"}]
    valid, *invalid = train("knn_basic", points, folds, pool).points
    assert len(valid.folds) == 3
    failures = [str(point.failure) for point in invalid]
    assert failures[0] == "ParameterError: KNNBasic: k must be an integer of at least 1 (got 0)"
    unknown_similarity = r"UnknownSimilarityError: sim_options: name must be one of .* \(got 'cosin'\)"
    assert re.match(unknown_similarity, failures[1])
    assert failures[2].startswith("ParameterError: KNNBasic: k must be an integer of at least 1 (got 'ten')")


def test_points_scored_before_a_divergence_keep_their_scores(folds: Folds, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n, "lr_all": 0.4, "reg_all": 0.0} for n in (1, 4000)]
    first, last = train("svd", points, folds, pool).points
    assert first.folds
    assert "DivergedError: SVD diverged in epoch" in str(last.failure)


def test_points_scored_before_pruning_keep_their_scores(folds: Folds, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n} for n in (2, 27)]
    epochs: list[int] = []

    def should_prune(epoch: int, _: float) -> bool:
        epochs.append(epoch)
        return epoch >= 3

    result = train("svd", points, folds, pool, PruningSchedule((1, 3, 9), should_prune))
    assert epochs == [1, 2, 3]  # the reporting epochs 1 and 3, and 2, the last epoch of the first point
    assert len(result.points[0].folds) == 3
    assert str(result.points[1].pruned).startswith("stopped after epoch 3 with RMSE")


# Validation parts


@pytest.fixture(scope="module")
def evaluator(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> ListEvaluator:
    part = write_part_files(ratings, tmp_path_factory.mktemp("parts")).load()[0]
    return ListEvaluator(part, EvaluationProtocol(5, 4.0))


def train_lists(
    name: str, points: Sequence[Parameters], evaluator: ListEvaluator, metric: str = "ndcg", **options: Any
) -> TaskResult:
    numbered = dict(enumerate(points))
    return train_on_part(name, numbered, evaluator, SEED, metric=SearchMetric.parse(metric), **options)


def test_points_on_a_part_get_the_scores_of_separate_fits(evaluator: ListEvaluator) -> None:
    points = [{"n_epochs": n, "n_factors": 5} for n in (2, 7, 4)]
    shared = train_lists("svd", points, evaluator)
    assert [epoch for epoch, _ in shared.curve] == [2, 4, 7]
    for parameters, result in zip(points, shared.points, strict=True):
        algorithm = find_algorithm("svd").create(parameters, SEED).fit(evaluator.part.train)
        expected = evaluator.evaluate(algorithm)
        assert result.part is not None
        rated = {"rated_ndcg": evaluator.evaluate_rated_items(algorithm)}
        assert result.part.metrics == {**expected.metrics, **rated}
        assert result.part.user_values["ndcg"].tobytes() == expected.user_values["ndcg"].tobytes()
        assert result.part.n_users == len(evaluator.users)
        assert result.part.model_bytes > 0


def test_values_of_users_are_kept_for_ndcg_and_the_search_metric(evaluator: ListEvaluator) -> None:
    for metric, names in (("ndcg", {"ndcg"}), ("recall", {"ndcg", "recall"}), ("coverage", {"ndcg"})):
        part = train_lists("popularity", [{}], evaluator, metric).points[0].part
        assert part is not None
        assert set(part.user_values) == names


def test_point_that_is_clearly_worse_than_the_leader_is_evaluated_on_a_sample(
    evaluator: ListEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "MIN_USERS", 3)
    leader = Leader("EASE (reg=7)", np.ones(len(evaluator.users), np.float32))
    (result,) = train_lists("normal_predictor", [{}], evaluator, leader=leader).points
    assert result.part is not None
    assert result.part.n_users == evaluator.n_sampled
    sample = f"a sample of {evaluator.n_sampled} users of the first part"
    assert str(result.pruned).startswith(f"dropped after {sample}: NDCG@5 is 0.")
    assert "lower than that of EASE (reg=7) (" in str(result.pruned)


def test_metric_that_is_not_defined_fails_the_point(evaluator: ListEvaluator) -> None:
    one_user = ListEvaluator(evaluator.part, EvaluationProtocol(5, 4.0), max_users=1)
    (result,) = train_lists("popularity", [{}], one_user, "personalization").points
    assert result.part is None
    assert result.failure == (
        "DivergedError: personalization is not defined for the lists of Popularity; choose another "
        "search.metric"
    )


def test_diverging_point_fails_on_a_part(evaluator: ListEvaluator) -> None:
    (result,) = train_lists("svd", [{"lr_all": 1e6}], evaluator).points
    assert "DivergedError: SVD diverged in epoch 1" in str(result.failure)


def test_pruner_gets_the_loss_of_the_sample_after_each_checkpoint(evaluator: ListEvaluator) -> None:
    reports: list[tuple[int, float]] = []

    def should_prune(epoch: int, loss: float) -> bool:
        reports.append((epoch, loss))
        return epoch >= 6

    pruning = PruningSchedule((3, 6, 9), should_prune)
    result = train_lists("svd", [{"n_epochs": 12}], evaluator, pruning=pruning)
    sample = evaluator.evaluate(
        find_algorithm("svd").create({"n_epochs": 6}, SEED).fit(evaluator.part.train), lambda _: True
    )
    assert reports[1] == (6, -sample.metrics["ndcg"])
    assert result.curve[1] == (6, sample.metrics["ndcg"])
    assert str(result.points[0].pruned) == f"stopped after epoch 6 with NDCG@5 {sample.metrics['ndcg']:.4f}"
    assert result.is_pruned


def test_result_of_a_task_survives_json(evaluator: ListEvaluator, folds: Folds, pool: Any) -> None:
    points = [{"n_epochs": 2}, {"n_epochs": -1}]
    for result in (train_lists("svd", points, evaluator), train("svd", points, folds, pool)):
        copy = TaskResult.from_json(json.loads(json.dumps(result.to_json())))
        assert copy.points == result.points
        assert copy.curve == result.curve
        for point, other in zip(result.points, copy.points, strict=True):
            if point.part is not None and other.part is not None:
                values, copied = point.part.user_values["ndcg"], other.part.user_values["ndcg"]
                assert values.tobytes() == copied.tobytes()
