"""A random guess with the training set's mean and spread: the floor that every candidate must beat."""

from typing import Any

import numpy as np
import surprise
from surprise import Trainset
from surprise.utils import get_rng


class NormalPredictor(surprise.NormalPredictor):  # type: ignore[misc]
    r"""`surprise.NormalPredictor` with a seed.

    .. math:: \hat r_{ui} \sim \mathcal N(\hat\mu, \hat\sigma^2)

    Deviation from its twin: it draws from its own `random_state` rather than from NumPy's global
    state, so that a run can be repeated.
    """

    def __init__(self, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__()
        self.random_state = random_state

    def fit(self, trainset: Trainset) -> "NormalPredictor":
        """Estimate mean and standard deviation by maximum likelihood."""
        super().fit(trainset)
        self.reset()
        return self

    def reset(self) -> None:
        """Draw from the beginning of the seed's stream again."""
        self._rng = get_rng(self.random_state)

    def estimate(self, *_: Any) -> float:
        """One draw, whoever the user and whatever the item."""
        return float(self._rng.normal(self.trainset.global_mean, self.sigma))
