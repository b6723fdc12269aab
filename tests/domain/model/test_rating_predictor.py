"""Prediction of ratings: clipped to the scale, folded in for users with recent ratings, or impossible."""

import numpy as np
import pytest

from marquee.model.factor_scoring import FactorSpace
from marquee.model.rating_predictor import RatingPrediction, RatingPredictor
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.rating_factors import RatingScorer

IMPOSSIBLE = RatingPrediction(3.5, was_impossible=True)
# One factor separates items 0 and 1. User 0 likes item 0, user 1 likes item 1.
SPACE = FactorSpace.from_parameters(
    (np.array([[1.0], [-1.0]]), np.array([0.5, 0.0])), (np.array([[3.0], [-0.5]]), np.zeros(2)), 3.5, 0.5
)
TRAINING = TrainingHistories(np.array([0, 0, 1]), np.array([1], np.int32), np.array([4], np.float32))


@pytest.fixture
def predictor() -> RatingPredictor:
    return RatingPredictor(RatingScorer(SPACE, TRAINING), (1.0, 5.0), 3.5)


def test_rating_of_known_user_is_the_score(predictor: RatingPredictor) -> None:
    assert predictor.predict(1, 0) == RatingPrediction(3.5, was_impossible=False)
    assert predictor.predict(1, 1) == RatingPrediction(4.0, was_impossible=False)


def test_rating_is_clipped_to_the_scale(predictor: RatingPredictor) -> None:
    assert predictor.predict(0, 0).rating == 5.0
    assert predictor.predict(0, 1).rating == 1.0  # 3.5 - 3.0 = 0.5


def test_recent_ratings_of_unknown_user_are_folded_in(predictor: RatingPredictor) -> None:
    fan, critic = (predictor.predict(None, 0, {0: stars}).rating for stars in (5.0, 1.0))
    assert fan > critic
    assert not predictor.predict(None, 0, {0: 5.0}).was_impossible


def test_recent_ratings_of_known_user_update_the_prediction(predictor: RatingPredictor) -> None:
    before, after = predictor.predict(1, 0).rating, predictor.predict(1, 0, {0: 5.0}).rating
    assert before < after < 5.0


@pytest.mark.parametrize(("user", "item", "recent"), [(None, 0, None), (None, 0, {}), (0, None, {})])
def test_prediction_without_user_or_item_is_the_global_mean(
    predictor: RatingPredictor, user: int | None, item: int | None, recent: dict[int, float] | None
) -> None:
    assert predictor.predict(user, item, recent) == IMPOSSIBLE


def test_predictor_that_is_no_factor_model_predicts_the_global_mean() -> None:
    assert RatingPredictor(None, (1.0, 5.0), 3.5).predict(0, 0) == IMPOSSIBLE
