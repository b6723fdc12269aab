"""Audience: newcomers get lists from their histories, which no model is trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.audience import Audience, encode_audience
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.list_evaluation import ListEvaluator, find_evaluated_users
from experiments.evaluation.model_evaluation import evaluate_lists
from experiments.evaluation.parts import Part
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.interactions.parts import Cut
from tests.support.newcomers import add_newcomers
from tests.support.part_files import write_part_files

BEST_ITEM = EvaluationProtocol(1, 0.0, is_graded=True)
ITEMS = "abcdefgh"
REG = 0.5
# Most users have g, and many h. Who has one of a to d often has f, which only the newcomer chooses later.
TRAINING = {"una": "abf", "ugo": "cdf", "eva": "eg", "ida": "gh", "ivo": "gh", "ira": "gh"}
HISTORY = "abcde"
HELD_OUT = {"new": "f", "eva": "h"}


@pytest.fixture
def part(tmp_path: Path) -> Part:
    rows = pd.DataFrame(
        [
            *(("new", item, 0, True) for item in HISTORY),
            *((user, item, -1, False) for user, items in TRAINING.items() for item in items),
            *((user, item, 0, False) for user, item in HELD_OUT.items()),
        ],
        columns=["user", "item", "part", "is_history"],
    ).assign(weight=1.0)
    cut = Cut.from_frame(rows, "time")
    return write_part_files(rows[["user", "item", "weight"]], tmp_path, cut=cut).load()[0]


@pytest.fixture(scope="module")
def large_part(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Part:
    rows = add_newcomers(ratings)
    return write_part_files(rows, tmp_path_factory.mktemp("parts"), strategy="time").load()[2]


def fit(part: Part, name: str, **parameters: Any) -> Algorithm:
    return find_algorithm(name).create(parameters, 1).fit(part.train)


def find_ease_item(history: str) -> str:
    """Return the best item by the closed form of EASE: X (I - P / diag P), P = (X'X + reg I)^-1."""
    X = np.array([[item in items for item in ITEMS] for items in TRAINING.values()], dtype=float)
    P = np.linalg.inv(X.T @ X + REG * np.eye(len(ITEMS)))
    scores = np.array([item in history for item in ITEMS]) @ (np.eye(len(ITEMS)) - P / np.diag(P))
    scores[[item in history for item in ITEMS]] = -np.inf
    return ITEMS[scores.argmax()]


def recommend_to_newcomer(part: Part, algorithm: Algorithm) -> str:
    return str(part.train.item_ids[part.audience.recommend(algorithm, 1)[-1, 0]])


def test_newcomer_gets_the_list_of_the_history_from_ease(part: Part) -> None:
    algorithm = fit(part, "ease", reg=REG, weighting="binary")
    assert recommend_to_newcomer(part, algorithm) == find_ease_item(HISTORY) == "f"
    assert ListEvaluator(part, BEST_ITEM).evaluate(algorithm).user_values["ndcg"].tolist() == [1.0, 1.0]


def test_newcomer_gets_the_most_popular_items_from_popularity(part: Part) -> None:
    algorithm = fit(part, "popularity")
    assert recommend_to_newcomer(part, algorithm) == "g"
    scores = ListEvaluator(part, BEST_ITEM).evaluate(algorithm)
    assert scores.user_values["ndcg"].tolist() == [
        0.0,
        1.0,
    ]  # by user number: the newcomer has the first rows
    assert (scores.n_users, scores.metrics["ndcg"]) == (2, 0.5)
    assert scores.metrics["coverage"] == 2 / 8  # g and h


def test_profile_of_a_newcomer_is_the_history(part: Part) -> None:
    # Of the training users, a to e have 1 each; e and g have 1 and 4, g and h 4 and 3.
    assert part.audience.profile_popularity.tolist() == pytest.approx([4 / 3, 4 / 3, 2.5, 3.5, 3.5, 3.5, 1.0])


@pytest.mark.parametrize("name", ["popularity", "ease", "svd", "knn_basic", "baseline_only"])
def test_search_and_measurement_have_the_same_metrics_of_all_evaluated_users(
    large_part: Part, name: str
) -> None:
    protocol, algorithm = EvaluationProtocol(5, 4.0), fit(large_part, name)
    searched = ListEvaluator(large_part, protocol).evaluate(algorithm, lambda _: False).metrics
    lists = large_part.audience.recommend(algorithm, 5)
    data = FoldData(large_part.train, large_part.held_out)
    measured = evaluate_lists(lists, data, protocol, large_part.histories).metrics
    for metric in ("ndcg", "recall"):
        assert measured[metric] == pytest.approx(searched[metric])


def test_newcomers_are_evaluated_and_in_no_segment(large_part: Part) -> None:
    protocol, audience = EvaluationProtocol(5, 4.0), large_part.audience
    users = ListEvaluator(large_part, protocol).users
    is_newcomer = np.isin(users, large_part.user_numbers[audience.is_newcomer])
    assert 0 < is_newcomer.sum() < len(users)
    lists = audience.recommend(fit(large_part, "popularity"), 5)
    data = FoldData(large_part.train, large_part.held_out)
    segments = evaluate_lists(lists, data, protocol, large_part.histories).segments.values()
    n_users, n_items = large_part.train.n_users, large_part.train.n_items
    assert sum(segment["members"] for segment in segments) == n_users + n_items


def test_evaluated_users_are_found_without_building_the_part(ratings: pd.DataFrame, tmp_path: Path) -> None:
    parts = write_part_files(add_newcomers(ratings), tmp_path, strategy="time").load()
    protocol = EvaluationProtocol(5, 4.0)
    for number in range(3):
        found = find_evaluated_users(parts, number, protocol)
        assert found.tolist() == ListEvaluator(parts[number], protocol).users.tolist()


def test_rated_items_of_newcomers_are_left_out(part: Part, large_part: Part) -> None:
    protocol = EvaluationProtocol(5, 4.0)
    audience, pairs = large_part.audience, large_part.held_out
    in_training = pairs.users < large_part.train.n_users
    assert not in_training.all()
    algorithm = fit(large_part, "svd")
    without = Part(
        large_part.train,
        type(pairs)(pairs.users[in_training], pairs.items[in_training], pairs.actual[in_training]),
        large_part.user_numbers[~audience.is_newcomer],
    )
    rated = ListEvaluator(large_part, protocol).evaluate_rated_items(algorithm)
    assert rated == ListEvaluator(without, protocol).evaluate_rated_items(algorithm)


def test_held_out_pairs_are_numbered_by_audience() -> None:
    columns = ["user", "item", "rating"]
    matrix = InteractionMatrix.from_frame(
        pd.DataFrame([("ann", "x", 4.0), ("bob", "y", 3.0)], columns=columns)
    )
    history = pd.DataFrame([("cem", "y", 5.0), ("dee", "z", 2.0), ("cem", "x", 1.0)], columns=columns)
    held_out = pd.DataFrame(
        [("dee", "x", 1.0), ("gus", "x", 2.0), ("ann", "z", 3.0), ("cem", "y", 4.0)], columns=columns
    )
    histories, pairs = encode_audience(history, held_out, matrix)
    assert pairs.users.tolist() == [3, UNKNOWN, 0, 2]
    assert histories.indptr.tolist() == [0, 2, 2]  # nobody knows z, so Dee's history is empty
    audience = Audience(matrix, histories)
    assert audience.known.indptr.tolist() == [0, 1, 2, 4, 4]
    assert audience.known.items.tolist() == [0, 1, 1, 0]
    assert np.isnan(audience.profile_popularity[3])


def test_rows_are_taken_in_the_given_order() -> None:
    rows = SparseRows(np.array([0, 2, 2, 3]), np.array([5, 6, 7], np.int32), np.array([1.0, 2.0, 3.0]))
    taken = rows.take(np.array([2, 1, 0], np.int32))
    assert taken.indptr.tolist() == [0, 1, 1, 3]
    assert (taken.indices.tolist(), taken.values.tolist()) == ([7, 5, 6], [3.0, 1.0, 2.0])
