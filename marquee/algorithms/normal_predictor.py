"""NormalPredictor: random ratings, the reference that every rating predictor must beat."""

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import Algorithm, Estimates
from marquee.algorithms.normal_draws import draw_normal
from marquee.algorithms.parameter_checks import RandomState
from marquee.array_types import Int32Array
from marquee.interactions.matrix import InteractionMatrix


class NormalPredictor(Algorithm):
    r"""Draws from the normal distribution that best fits the ratings (maximum likelihood).

    .. math::
        \hat r_{ui} \sim \mathcal N(\mu, \sigma^2) \qquad
        \sigma^2 = \frac{1}{|R|} \sum_{r_{ui} \in R} (r_{ui} - \mu)^2

    Each pair takes one draw in `predict`, `test` or `score_pairs`. Twin of `surprise.NormalPredictor`.
    Deviation: with a `random_state`, draws come from that generator and start again after each `fit`, so that
    runs can be repeated; the twin always draws from NumPy's global generator.

    Args:
        random_state: seed or generator of the draws; None: NumPy's global generator, as in the twin.

    Attributes:
        sigma: standard deviation of the ratings.
    """

    is_random = True

    sigma: float

    def __init__(self, random_state: RandomState = None) -> None:
        super().__init__()
        self.random_state = random_state
        self._rng: np.random.RandomState | None = None

    def restart_random_draws(self) -> np.random.RandomState:
        """Restart the random draws from `random_state`, and return their generator."""
        rng: np.random.RandomState = get_rng(self.random_state)
        self._rng = rng
        return rng

    def _fit(self, matrix: InteractionMatrix) -> None:
        self.sigma = float(np.sqrt(np.mean((matrix.values - self.trainset.global_mean) ** 2)))
        self.restart_random_draws()

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:  # noqa: ARG002  same for all
        rng = self._rng or self.restart_random_draws()  # None after loading: the generator is not saved
        return Estimates(draw_normal(rng, self.trainset.global_mean, self.sigma, len(users)))
