"""Recommending by scoring all items at each request, with numpy: what the plain contenders do."""

import os
from pathlib import Path

import numpy as np

from marquee.model.fitted_model import load_model


class Scorer:
    """The model's factors, and what each user rated."""

    def __init__(self, folder: str | None = None) -> None:
        model = load_model(Path(folder or os.environ["MARQUEE_MODEL"]))
        assert model.arrays.factors is not None
        self._model, self._space = model, model.arrays.factors
        self._ids = list(model.arrays.items)

    def recommend(self, user: str, n: int = 10) -> list[str]:
        """The best n items that the user has not rated."""
        number = self._model.user_number(user)
        assert number is not None
        scores = self._space.scores(self._space.known(number)).copy()
        scores[list(self._model.seen(number))] = -np.inf
        return [self._ids[item] for item in np.argsort(-scores)[:n]]
