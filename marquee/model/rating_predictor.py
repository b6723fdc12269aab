"""Prediction of ratings by a fitted model, for known users and for users with ratings since training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marquee.array_types import RatingScale
from marquee.model.scorers.rating_factors import RatingScorer


@dataclass(frozen=True)
class RatingPrediction:
    """Predicted rating in stars; if it was impossible, the global mean, as in scikit-surprise."""

    rating: float
    was_impossible: bool


@dataclass(frozen=True)
class RatingPredictor:
    """Predicts ratings, clipped to the rating scale.

    Attributes:
        scorer: scorer of the predictor; None if it is not a factor model: every prediction is impossible.
        scale: lowest and highest possible rating.
        global_mean: mean of the training ratings, in stars.
    """

    scorer: RatingScorer | None
    scale: RatingScale
    global_mean: float

    def predict(
        self, user: int | None, item: int | None, recent: Mapping[int, float] | None = None
    ) -> RatingPrediction:
        """Predict the rating of an item by a user.

        Args:
            user: inner id, or None if the user is not in the training data.
            item: inner id, or None if the item is not in the training data: the prediction is impossible.
            recent: ratings since training by item; without any, the prediction is impossible for a user who
                is not in the training data.
        """
        if self.scorer is None or item is None or (user is None and not recent):
            return RatingPrediction(self.global_mean, was_impossible=True)
        low, high = self.scale
        [rating] = self.scorer.score_some(user, recent or {}, [item])
        return RatingPrediction(min(max(rating, low), high), was_impossible=False)

    def predict_items(
        self, user: int | None, items: Sequence[int], recent: Mapping[int, float]
    ) -> list[float | None]:
        """Predict the ratings of several items by a user; None where a prediction is impossible.

        Args:
            user: inner id, or None if the user is not in the training data.
            items: inner ids.
            recent: ratings since training by item.
        """
        if self.scorer is None or (user is None and not recent):
            return [None] * len(items)
        low, high = self.scale
        return [min(max(rating, low), high) for rating in self.scorer.score_some(user, recent, items)]
