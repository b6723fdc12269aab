"""Prediction of ratings by a fitted model, for known users and for users with ratings since training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from marquee.array_types import RatingScale
from marquee.model.factor_scoring import FactorSpace


@dataclass(frozen=True)
class RatingPrediction:
    """Predicted rating in stars; if it was impossible, the global mean, as in scikit-surprise."""

    rating: float
    was_impossible: bool


@dataclass(frozen=True)
class RatingPredictor:
    """Predicts ratings, clipped to the rating scale.

    Attributes:
        space: parameters of the predictor; None if it is not a factor model: every prediction is impossible.
        scale: lowest and highest possible rating.
        global_mean: mean of the training ratings, in stars.
    """

    space: FactorSpace | None
    scale: RatingScale
    global_mean: float

    def predict(
        self, user: int | None, item: int | None, recent: Mapping[int, float] | None = None
    ) -> RatingPrediction:
        """Predict the rating of an item by a user.

        Args:
            user: inner id, or None if the user is not in the training data.
            item: inner id, or None if the item is not in the training data: the prediction is impossible.
            recent: ratings since training by item; they are folded in for a user who is not in the training
                data. Without any, the prediction is impossible.
        """
        space = self.space
        if space is None or item is None or (user is None and not recent):
            return RatingPrediction(self.global_mean, was_impossible=True)
        if user is not None:
            factors = space.trained_user_factors(user)
        else:
            ratings = recent or {}
            factors = space.fold_in(np.array(list(ratings), dtype=np.int32), np.array(list(ratings.values())))
        low, high = self.scale
        return RatingPrediction(min(max(space.score_item(factors, item), low), high), was_impossible=False)
