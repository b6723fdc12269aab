"""Levels of newcomers and of known users with new feedback, for every algorithm that may recommend."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marquee.algorithms.registry import REGISTRY, find_algorithm
from marquee.algorithms.serving_arrays import ServedAlgorithm, build_model_arrays
from marquee.interactions.columns import FeedbackType
from marquee.interactions.matrix import InteractionMatrix
from marquee.metrics.list_agreement import list_agreement
from marquee.model.fitted_model import load_model, write_model
from marquee.model.string_table import StringTable
from service.recommendation.recommender import RecommendationRequest, Recommender, UserContext
from tests.support.manifest_fields import IMPLICIT_FIELDS, MANIFEST_FIELDS
from tests.support.rating_samples import sample_ratings

MATRIX = sample_ratings(3, n_users=60, n_items=40, n_ratings=900, allow_repeats=False).matrix
UNTITLED = (StringTable.from_strings([""] * MATRIX.n_items),) * 2
REQUEST = RecommendationRequest(5)
RANKERS = [name for name, entry in REGISTRY.items() if entry.algorithm_class.is_ranker]
CASES = [*((name, "explicit") for name in REGISTRY), *((name, "implicit") for name in RANKERS)]


def training_matrix(feedback: FeedbackType) -> InteractionMatrix:
    """Return sample ratings with ids as strings, or the same interactions with their ratings as weights."""
    ids: dict[str, Any] = {
        "user_ids": tuple(map(str, MATRIX.user_ids)),
        "item_ids": tuple(map(str, MATRIX.item_ids)),
    }
    return replace(MATRIX, **ids, feedback=feedback)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def recommender(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Recommender of a model of an algorithm, trained on ratings or weights."""
    name, feedback = request.param
    algorithm, matrix = find_algorithm(name), training_matrix(feedback)
    fitted = ServedAlgorithm(algorithm.create({}, seed=1).fit(matrix), noise=0.8)
    arrays = build_model_arrays(fitted, None, matrix, UNTITLED, n=10)
    folder: Path = tmp_path_factory.mktemp("models") / "fitted"
    fields = MANIFEST_FIELDS if feedback == "explicit" else IMPLICIT_FIELDS
    unit = "relative" if algorithm.algorithm_class.is_ranker else "stars"
    agreement = list_agreement(arrays.top_items, matrix.indptr, matrix.items)
    write_model(folder, arrays, {**fields, "score_unit": unit, "list_agreement": agreement})
    return Recommender(load_model(folder))


def level_of(recommender: Recommender, user: UserContext) -> str:
    recommendations = recommender.recommend(user, REQUEST)
    assert len(recommendations.items) == REQUEST.n
    return recommendations.fallback_level


def click_value(recommender: Recommender) -> float | None:
    return None if recommender.model.manifest.feedback == "explicit" else 1.0


def test_newcomer_with_three_clicks_is_folded_and_known_user_with_a_new_click_is_live(
    recommender: Recommender,
) -> None:
    is_personal, value = recommender.model.manifest.is_personal, click_value(recommender)
    newcomer = UserContext(clicked=dict.fromkeys((1, 2, 3), value))
    assert level_of(recommender, newcomer) == ("folded" if is_personal else "popular")
    (new_item, _), *_ = recommender.model.stored_list(0)
    known = UserContext(0, clicked={new_item: value})
    assert level_of(recommender, known) == ("live" if is_personal else "popular")
    assert level_of(recommender, UserContext(0)) == ("personal" if is_personal else "popular")


def test_newcomer_without_a_usable_history_gets_popular_items(recommender: Recommender) -> None:
    assert level_of(recommender, UserContext()) == "popular"


def test_newcomer_who_dislikes_everything_gets_a_documented_level(recommender: Recommender) -> None:
    value = 1.0 if recommender.model.manifest.feedback == "explicit" else -1.0
    assert level_of(recommender, UserContext(recent={1: value, 2: value})) in {"folded", "popular"}


def test_items_that_a_sparse_model_knows_nothing_about_are_ordered_by_popularity(tmp_path: Path) -> None:
    """Item k-NN with two neighbors scores at most two items for a history of one."""
    matrix = training_matrix("implicit")
    algorithm = find_algorithm("item_knn").create({"k": 2}, seed=1).fit(matrix)
    arrays = build_model_arrays(ServedAlgorithm(algorithm), None, matrix, UNTITLED, n=10)
    fields = {**IMPLICIT_FIELDS, "score_unit": "relative", "list_agreement": 0.0}
    write_model(tmp_path / "fitted", arrays, {**fields})
    recommender = Recommender(load_model(tmp_path / "fitted"))
    clicked = {7: 1.0}
    assert recommender.model.scorer is not None
    scores = recommender.model.scorer.score_history(clicked)
    scored = np.flatnonzero(scores)[np.argsort(-scores[scores != 0], kind="stable")].tolist()
    assert 0 < len(scored) < 15
    recommended = [
        item
        for item, _ in recommender.recommend(UserContext(clicked=clicked), RecommendationRequest(20)).items
    ]
    assert recommended[: len(scored)] == scored
    popular = [item for item, _ in recommender.model.popular_items()]
    assert recommended[len(scored) :] == [item for item in popular if item not in scored][: 20 - len(scored)]


def test_known_user_of_whom_nothing_is_liked_gets_popular_items(tmp_path: Path) -> None:
    """The factors of a user without positives are 0, so all scores are equal."""
    matrix = training_matrix("explicit")
    values = matrix.values.copy()
    values[matrix.indptr[4] : matrix.indptr[5]] = 1.0
    matrix = replace(matrix, values=values)
    algorithm = find_algorithm("ials").create({}, seed=1).fit(matrix)
    arrays = build_model_arrays(ServedAlgorithm(algorithm), None, matrix, UNTITLED, n=10)
    fields = {**MANIFEST_FIELDS, "score_unit": "relative", "list_agreement": 0.0}
    write_model(tmp_path / "fitted", arrays, fields)
    recommender = Recommender(load_model(tmp_path / "fitted"))
    assert level_of(recommender, UserContext(4)) == "popular"
    seen = recommender.model.seen_items(4)
    popular = [item for item, _ in recommender.model.popular_items() if item not in seen]
    items = [item for item, _ in recommender.recommend(UserContext(4), REQUEST).items]
    assert items == popular[: len(items)]
