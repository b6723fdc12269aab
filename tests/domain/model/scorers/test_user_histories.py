"""Scorers: which histories can be scored, and how training and recent interactions are combined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.model.factor_scoring import FactorSpace
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.scorers.confidence_factors import ConfidenceFactors
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.item_weights import ItemWeights, ItemWeightScorer
from marquee.model.scorers.rating_factors import RatingScorer
from marquee.model.scorers.similar_items import SimilarItemsScorer

# Items 0 and 1 support each other, and item 2 supports item 0. Ann chose 0 and 1, but 1 does not count.
WEIGHTS = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
ANN = 0


@pytest.fixture
def item_scorer() -> ItemWeightScorer:
    ratings = np.array([5.0, 2.0], dtype=np.float32)
    weights = ItemWeights.from_matrix(WEIGHTS, HistoryWeighting("binary", bound=4.0), k=3)
    return weights.create_scorer(TrainingHistories(np.array([0, 2]), np.array([0, 1], np.int32), ratings))


def test_known_user_is_scored_by_the_training_interactions_that_count(item_scorer: ItemWeightScorer) -> None:
    assert item_scorer.score_user(ANN, {}).tolist() == [0.0, 1.0, 0.0]


def test_recent_interactions_are_added_to_those_of_training(item_scorer: ItemWeightScorer) -> None:
    assert item_scorer.score_user(ANN, {2: 5.0}).tolist() == [2.0, 1.0, 0.0]
    assert item_scorer.score_user(ANN, {2: 1.0}).tolist() == [0.0, 1.0, 0.0]


def test_recent_interaction_replaces_that_of_training(item_scorer: ItemWeightScorer) -> None:
    assert item_scorer.score_user(ANN, {1: 5.0}).tolist() == [1.0, 1.0, 0.0]
    assert item_scorer.score_user(ANN, {0: 5.0}).tolist() == [0.0, 1.0, 0.0]


def test_click_counts_as_one_interaction(item_scorer: ItemWeightScorer) -> None:
    assert item_scorer.score_history({2: None}).tolist() == [2.0, 0.0, 0.0]


def test_history_without_a_weight_cannot_be_scored(item_scorer: ItemWeightScorer) -> None:
    assert not item_scorer.can_score({})
    assert not item_scorer.can_score({0: 3.0})
    assert item_scorer.can_score({0: 3.0, 1: 4.0})
    assert item_scorer.can_score({0: None})


def small_space() -> FactorSpace:
    rng = np.random.default_rng(0)
    return FactorSpace.from_parameters(
        (rng.normal(size=(5, 2)), rng.normal(size=5)), (rng.normal(size=(9, 2)), np.zeros(9)), 3.5, 0.5
    )


NINE_USERS = TrainingHistories(
    np.arange(0, 19, 2), np.tile(np.array([0, 4], np.int32), 9), np.full(18, 4, np.float32)
)


def test_factors_of_known_users_are_used_as_they_are_without_new_ratings() -> None:
    space = small_space()
    scorer = RatingScorer(space, NINE_USERS)
    expected = space.score_items(space.trained_user_factors(3))
    np.testing.assert_array_equal(scorer.score_user(3, {}), expected)
    np.testing.assert_array_equal(scorer.score_user(3, {2: None}), expected)


def test_new_rating_of_known_user_moves_the_estimate_toward_it() -> None:
    scorer = RatingScorer(small_space(), NINE_USERS)
    before = scorer.score_user(3, {})[2]
    assert scorer.score_user(3, {2: float(before) + 1})[2] > before
    assert scorer.score_user(3, {2: float(before) - 1})[2] < before


def test_update_of_known_user_solves_the_normal_equations() -> None:
    """The posterior minimizes the squared errors of new ratings plus the change of all that was known."""
    space, items, ratings = small_space(), np.array([1, 2], dtype=np.int32), np.array([5.0, 2.0])
    design = np.column_stack([np.ones(5), space.item_factors])
    trained = np.concatenate([[space.user_biases[3]], space.user_factors[3]])
    known = np.linalg.inv(space.prior_covariance) + design[[0, 4]].T @ design[[0, 4]] / space.noise
    targets = ratings - space.offset - space.item_biases[items]
    system = known + design[items].T @ design[items] / space.noise
    expected = np.linalg.solve(system, known @ trained + design[items].T @ targets / space.noise)
    updated = space.update_user(3, np.array([0, 4], dtype=np.int32), items, ratings)
    np.testing.assert_allclose([updated.bias, *updated.factors], expected, rtol=1e-6)


def test_only_ratings_are_folded_into_a_model_of_ratings() -> None:
    space = small_space()
    scorer = RatingScorer(space, NINE_USERS)
    assert not scorer.can_score({1: None})
    folded = space.fold_in(np.array([2], dtype=np.int32), np.array([4.0]))
    np.testing.assert_array_equal(scorer.score_history({1: None, 2: 4.0}), space.score_items(folded))


def test_similar_items_are_summed_over_liked_items_of_training_and_since() -> None:
    similar = np.array([[1, 2], [0, -1], [0, 1]], dtype=np.int32)
    similarities = np.array([[0.5, 0.25], [0.5, np.nan], [0.125, 0.125]], dtype=np.float32)
    training = TrainingHistories(np.array([0, 2]), np.array([0, 2], np.int32), np.array([5, 2], np.float32))
    scorer = SimilarItemsScorer(similar, similarities, training, liked_from=4.0)
    assert scorer.score_user(ANN, {}).tolist() == [0.0, 0.5, 0.25]
    assert scorer.score_user(ANN, {1: None, 0: 4.0}).tolist() == [0.5, 0.5, 0.25]
    assert scorer.score_user(ANN, {0: 1.0}).tolist() == [0.0, 0.0, 0.0]
    assert scorer.score_user(ANN, {2: 4.0}).tolist() == [0.125, 0.625, 0.25]
    assert scorer.score_history({1: None, 2: 3.0}).tolist() == [0.5, 0.0, 0.0]
    assert scorer.can_score({1: None})
    assert not scorer.can_score({1: 3.0})


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.1, 40), st.floats(0.01, 10))
def test_confidence_fold_in_solves_the_equation_of_the_user(
    seed: int, n: int, alpha: float, reg: float
) -> None:
    rng = np.random.default_rng(seed)
    Q = rng.normal(size=(8, 3))
    covariance = np.zeros((4, 4))
    covariance[1:, 1:] = np.linalg.inv(Q.T @ Q + reg * np.eye(3))
    space = FactorSpace(
        Q.astype(np.float32), np.zeros(8, np.float32), np.zeros((1, 3), np.float32), np.zeros(1, np.float32),
        np.zeros(4), covariance, offset=0.0, noise=1.0,
    )  # fmt: skip
    items = rng.choice(8, n, replace=False).astype(np.int32)
    weights = rng.choice(np.array([-1.0, 0.5, 1.0, 3.0], dtype=np.float32), n)
    stored = ConfidenceFactors(space, alpha, HistoryWeighting("linear", unit=1.0, floor=-9.0))
    scorer = stored.create_scorer(TrainingHistories(np.array([0, n]), items, weights))
    confidences = np.ones(8)
    confidences[items] += alpha * np.abs(weights)
    preferences = np.zeros(8)
    preferences[items] = weights > 0
    expected = np.linalg.solve(
        Q.T @ (confidences[:, None] * Q) + reg * np.eye(3), Q.T @ (confidences * preferences)
    )
    history = dict(zip(items.tolist(), weights.tolist(), strict=True))
    np.testing.assert_allclose(scorer.score_history(history), Q @ expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(scorer.score_user(0, {}), scorer.score_history(history))
