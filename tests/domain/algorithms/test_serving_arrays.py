"""Arrays of the served model: scores of the served scorers equal those of the fitted algorithms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import surprise

from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.serving_arrays import ServedAlgorithm, build_model_arrays, replace_algorithms
from marquee.interactions.columns import FeedbackType
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.fitted_model import FittedModel, load_model, write_model
from marquee.model.model_arrays import ModelArrays
from marquee.model.recipe import Recipe
from marquee.model.scorers.confidence_factors import ConfidenceScorer
from marquee.model.scorers.item_weights import ItemWeights, ItemWeightScorer
from marquee.model.scorers.rating_factors import RatingFactors, RatingScorer
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.rating_samples import sample_ratings

MATRIX = sample_ratings(3, n_users=30, n_items=25, n_ratings=300, allow_repeats=False).matrix
UNTITLED = (StringTable.from_strings([""] * MATRIX.n_items),) * 2
SCALE_MEAN = 3.5


@pytest.fixture(scope="module")
def matrix() -> InteractionMatrix:
    """Sample ratings with ids as strings, as the pipeline reads them."""
    return replace(
        MATRIX, user_ids=tuple(map(str, MATRIX.user_ids)), item_ids=tuple(map(str, MATRIX.item_ids))
    )


def fit(name: str, matrix: InteractionMatrix, **parameters: Any) -> surprise.AlgoBase:
    return find_algorithm(name).create(parameters, seed=1).fit(matrix)


def build(
    matrix: InteractionMatrix,
    recommender: ServedAlgorithm,
    predictor: ServedAlgorithm | None = None,
    **options: Any,
) -> ModelArrays:
    return build_model_arrays(recommender, predictor, matrix, UNTITLED, n=8, **options)


def load(folder: Path, arrays: ModelArrays, **fields: Any) -> FittedModel:
    write_model(folder / "model", arrays, {**MANIFEST_FIELDS, **fields})
    return load_model(folder / "model")


def history_of(matrix: InteractionMatrix, user: int) -> dict[int, float | None]:
    start, stop = matrix.indptr[user : user + 2]
    return dict(zip(matrix.items[start:stop].tolist(), matrix.values[start:stop].tolist(), strict=True))


def ranker_model(folder: Path, matrix: InteractionMatrix, algorithm: surprise.AlgoBase) -> FittedModel:
    arrays = build(matrix, ServedAlgorithm(algorithm))
    return load(folder, arrays, recommender=Recipe("x", {}, 0), score_unit="relative")


WEIGHTINGS = pytest.mark.parametrize(
    ("feedback", "parameters"),
    [
        ("explicit", {}),
        ("explicit", {"threshold": 3.0}),
        ("explicit", {"weighting": "linear", "neutral": 2.5}),
        ("implicit", {}),
        ("implicit", {"weighting": "linear"}),
        ("implicit", {"weighting": "log"}),
    ],
)


@WEIGHTINGS
def test_known_users_and_their_histories_get_the_scores_of_ease(
    matrix: InteractionMatrix, tmp_path: Path, feedback: FeedbackType, parameters: dict[str, Any]
) -> None:
    matrix = replace(matrix, feedback=feedback)
    algorithm = fit("ease", matrix, reg=20.0, **parameters)
    model = ranker_model(tmp_path, matrix, algorithm)
    assert isinstance(model.scorer, ItemWeightScorer)
    for user in range(matrix.n_users):
        expected = algorithm.score_all_items([user])[0]
        np.testing.assert_allclose(model.scorer.score_user(user, {}), expected, atol=1e-5)
        history = history_of(matrix, user)
        if model.scorer.can_score(history):
            np.testing.assert_allclose(model.scorer.score_history(history), expected, atol=1e-5)


@WEIGHTINGS
def test_fold_in_of_implicit_als_gives_the_scores_of_the_algorithm(
    matrix: InteractionMatrix, tmp_path: Path, feedback: FeedbackType, parameters: dict[str, Any]
) -> None:
    matrix = replace(matrix, feedback=feedback)
    algorithm = fit(
        "implicit_als", matrix, n_factors=4, reg_all=0.1, alpha=3.0, dtype="float64", **parameters
    )
    scorer = ranker_model(tmp_path, matrix, algorithm).scorer
    assert scorer is not None
    for user in range(5):
        history = history_of(matrix, user)
        expected = algorithm.score_histories([0, len(history)], list(history), list(history.values()))[0]
        np.testing.assert_allclose(scorer.score_history(history), expected, atol=1e-4)


def test_fold_in_of_implicit_als_solves_the_same_system(matrix: InteractionMatrix, tmp_path: Path) -> None:
    algorithm = fit(
        "implicit_als", matrix, n_factors=4, reg_all=0.1, alpha=3.0, dtype="float64", threshold=0.0
    )
    model = ranker_model(tmp_path, matrix, algorithm)
    assert isinstance(model.scorer, ConfidenceScorer)
    Q = algorithm.qi
    for user in range(5):
        history = history_of(matrix, user)
        items = list(history)
        precision = Q.T @ Q + 0.1 * np.eye(4) + 3.0 * Q[items].T @ Q[items]
        factors = np.linalg.solve(precision, 4.0 * Q[items].sum(axis=0))
        np.testing.assert_allclose(model.scorer.score_history(history), Q @ factors, atol=1e-4)
        np.testing.assert_allclose(model.scorer.score_user(user, {}), Q @ factors, atol=1e-4)


@pytest.mark.parametrize("name", ["svd", "baseline_only"])
def test_models_of_ratings_are_scored_by_factors_or_biases(
    matrix: InteractionMatrix, tmp_path: Path, name: str
) -> None:
    algorithm = fit(name, matrix)
    served = ServedAlgorithm(algorithm, noise=0.8)
    model = load(tmp_path, build(matrix, served, served))
    assert isinstance(model.scorer, RatingScorer)
    np.testing.assert_allclose(model.scorer.score_user(2, {}), algorithm.score_all_items([2])[0], atol=1e-4)
    user, item = matrix.user_ids[2], matrix.item_ids[3]
    expected = algorithm.predict(user, item).est
    assert model.predict_rating(user, item).rating == pytest.approx(expected, abs=1e-4)


def test_popularity_needs_no_scorer(matrix: InteractionMatrix, tmp_path: Path) -> None:
    assert ranker_model(tmp_path, matrix, fit("popularity", matrix)).scorer is None


def test_shared_algorithm_is_stored_once(matrix: InteractionMatrix) -> None:
    served = ServedAlgorithm(fit("svd", matrix), noise=0.8)
    arrays = build(matrix, served, served)
    assert isinstance(arrays.recommender, RatingFactors)
    assert arrays.predictor is None


def test_separate_predictor_is_stored_beside_the_recommender(matrix: InteractionMatrix) -> None:
    predictor = fit("svd", matrix)
    arrays = build(matrix, ServedAlgorithm(fit("ease", matrix)), ServedAlgorithm(predictor, noise=0.8))
    assert isinstance(arrays.recommender, ItemWeights)
    assert arrays.predictor is not None
    np.testing.assert_allclose(arrays.predictor.space.item_factors, predictor.qi, rtol=1e-6)


def test_no_stored_list_contains_a_training_item(matrix: InteractionMatrix) -> None:
    arrays = build(matrix, ServedAlgorithm(fit("ease", matrix)))
    for user in range(matrix.n_users):
        assert not set(arrays.top_items[user].tolist()) & set(history_of(matrix, user))


def test_stored_lists_contain_training_items_if_repeats_are_allowed(matrix: InteractionMatrix) -> None:
    algorithm = fit("ease", matrix)
    arrays = build(matrix, ServedAlgorithm(algorithm), allow_repeats=True)
    best = int(algorithm.score_all_items([0])[0].argmax())
    assert arrays.top_items[0, 0] == best
    assert any(set(arrays.top_items[user].tolist()) & set(history_of(matrix, user)) for user in range(9))


def test_replaced_algorithms_equal_those_of_a_new_model(matrix: InteractionMatrix) -> None:
    svd = ServedAlgorithm(fit("svd", matrix), noise=0.8)
    arrays = build(matrix, ServedAlgorithm(fit("ease", matrix)), svd)
    replaced, fresh = replace_algorithms(arrays, svd, svd, matrix), build(matrix, svd, svd)
    np.testing.assert_array_equal(replaced.top_items, fresh.top_items)
    np.testing.assert_array_equal(replaced.similar_items, fresh.similar_items)
    assert isinstance(replaced.recommender, RatingFactors)
    assert replaced.predictor is None


def test_stored_lists_end_before_items_without_evidence(matrix: InteractionMatrix) -> None:
    """The first user likes nothing; an item k-NN of one neighbor supports few items for the others."""
    values = matrix.values.copy()
    values[: matrix.indptr[1]] = 1.0
    changed = replace(matrix, values=values)
    arrays = build(changed, ServedAlgorithm(fit("item_knn", changed, k=1)))
    is_item = arrays.top_items != PADDING
    assert not is_item[0].any()
    assert 0 < is_item.mean() < 0.5
    assert (arrays.top_scores[is_item] > 0).all()
    assert np.isnan(arrays.top_scores[~is_item]).all()
