"""A random guess with the training set's mean and spread: the floor that every candidate must beat."""

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import Algorithm, Estimates
from marquee.algorithms.parameters import RandomState
from marquee.arrays import Integers
from marquee.interactions.matrix import RatingMatrix


class NormalPredictor(Algorithm):
    r"""A draw from the normal distribution that is most likely to have given the ratings.

    .. math::
        \hat r_{ui} \sim \mathcal N(\mu, \sigma^2) \qquad
        \sigma^2 = \frac{1}{|R|} \sum_{r_{ui} \in R} (r_{ui} - \mu)^2

    Twin of `surprise.NormalPredictor`. Deviation from it: draws come from `random_state`, from its
    beginning after each `fit`, rather than always from NumPy's global state, so that a run can be
    repeated. Each pair asked for takes one draw, whether by `predict`, `test` or `score`.

    Args:
        random_state: seed of the draws, or a generator; None: NumPy's global one, as the twin.

    Attributes: `sigma`, the standard deviation of the ratings.
    """

    sigma: float

    def __init__(self, random_state: RandomState = None) -> None:
        super().__init__()
        self.random_state = random_state
        self._rng: np.random.RandomState | None = None

    def reset(self) -> np.random.RandomState:
        """Draw from the beginning of the seed's stream again."""
        rng: np.random.RandomState = get_rng(self.random_state)
        self._rng = rng
        return rng

    def _learn(self, matrix: RatingMatrix) -> None:
        self.sigma = float(np.sqrt(np.mean((matrix.values - self.trainset.global_mean) ** 2)))
        self.reset()

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:  # noqa: ARG002  whoever it is
        rng = self._rng or self.reset()  # there is none where the model was loaded from its state
        return Estimates(rng.normal(self.trainset.global_mean, self.sigma, size=len(users)))
