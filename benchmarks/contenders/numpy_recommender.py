"""Recommender of the plain contenders: NumPy scores all items for each request."""

import os
from pathlib import Path

import numpy as np

from marquee.model.fitted_model import load_model
from marquee.model.scorers.rating_factors import RatingFactors


class NumpyRecommender:
    """Recommender from the factors of a fitted model."""

    def __init__(self) -> None:
        model = load_model(Path(os.environ["MARQUEE_MODEL"]))
        assert isinstance(model.arrays.recommender, RatingFactors)
        self._model, self._space = model, model.arrays.recommender.space
        self._item_ids = list(model.arrays.items)

    def recommend(self, user_id: str, n: int = 10) -> list[str]:
        """Return the n unseen items with the highest scores for a user."""
        user = self._model.inner_user_id(user_id)
        assert user is not None
        scores = self._space.score_items(self._space.trained_user_factors(user)).copy()
        scores[list(self._model.seen_items(user))] = -np.inf
        return [self._item_ids[item] for item in np.argsort(-scores)[:n]]
