r"""Factor space of a factor model: item scores, and fold-in of unknown users.

.. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

Fold-in computes bias and factors of a user from a few ratings, with item factors fixed: the posterior mean of
Bayesian linear regression (Bishop 2006, equations 3.49 to 3.51). The prior is the mean and covariance of the
trained users' biases and factors (empirical Bayes). New ratings of a trained user update that user's trained
bias and factors in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, FloatArray, Int32Array

FACTOR_ARRAYS = (
    "item_factors", "item_biases", "user_factors", "user_biases", "prior_mean", "prior_covariance",
)  # fmt: skip
FACTOR_CONSTANTS = ("offset", "noise")
# Relative to the mean prior variance: keeps the covariance invertible if all users are equal.
MIN_VARIANCE = 1e-6


class UserFactors(NamedTuple):
    """Bias and factors of a user."""

    bias: float
    factors: FloatArray  # (k,)


@dataclass(frozen=True)
class FactorSpace:
    """Parameters of a factor model. Unbiased models have zero biases and a zero offset."""

    item_factors: Float32Array  # (n_items, k)
    item_biases: Float32Array  # (n_items,)
    user_factors: Float32Array  # (n_users, k)
    user_biases: Float32Array  # (n_users,)
    prior_mean: Float64Array  # (1 + k,), of the trained users' biases and factors
    prior_covariance: Float64Array  # (1 + k, 1 + k)
    offset: float  # global mean of a biased model in stars, else 0
    noise: float  # variance of a rating around its estimate, in squared stars

    @classmethod
    def from_parameters(
        cls,
        items: tuple[FloatArray, FloatArray],
        users: tuple[FloatArray, FloatArray],
        offset: float,
        noise: float,
    ) -> "FactorSpace":
        """Build the space of a trained model and estimate the prior.

        Args:
            items: factors (n_items, k) and biases (n_items,).
            users: factors (n_users, k) and biases (n_users,).
            offset: global mean of a biased model, in stars.
            noise: variance of a rating around its estimate, in squared stars.
        """
        item_factors, item_biases = (np.asarray(array, np.float32) for array in items)
        user_factors, user_biases = (np.asarray(array, np.float32) for array in users)
        mean, covariance = _estimate_prior(user_factors, user_biases)
        return cls(
            item_factors,
            item_biases,
            user_factors,
            user_biases,
            mean,
            covariance,
            offset,
            max(noise, MIN_VARIANCE),
        )

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, float]) -> "FactorSpace":
        """Return the space with the arrays and constants of `arrays()` and `constants()`."""
        contents: dict[str, Any] = {name: arrays[name] for name in FACTOR_ARRAYS}
        contents |= {name: constants[name] for name in FACTOR_CONSTANTS}
        return cls(**contents)

    def arrays(self) -> dict[str, AnyArray]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in FACTOR_ARRAYS}

    def constants(self) -> dict[str, float]:
        """Return offset and noise."""
        return {name: float(getattr(self, name)) for name in FACTOR_CONSTANTS}

    def trained_user_factors(self, user: int) -> UserFactors:
        """Return bias and factors of a trained user."""
        return UserFactors(float(self.user_biases[user]), self.user_factors[user])

    def score_items(self, user: UserFactors) -> Float32Array:
        """Return the scores of all items in stars, not clipped to the rating scale; shape (n_items,)."""
        scores = self.item_factors @ user.factors.astype(np.float32)
        scores += self.item_biases
        scores += np.float32(self.offset + user.bias)
        return scores

    def score_item(self, user: UserFactors, item: int) -> float:
        """Return the score of one item in stars, not clipped to the rating scale."""
        product = self.item_factors[item] @ user.factors.astype(np.float32)
        return float(product + self.item_biases[item] + np.float32(self.offset + user.bias))

    def fold_in(
        self, items: Int32Array, ratings: Float64Array, precisions: Float64Array | None = None
    ) -> UserFactors:
        r"""Return the most likely bias and factors of a user with these ratings.

        .. math:: m + S G^T (G S G^T + \sigma^2 W^{-1})^{-1} (y - G m)

        :math:`G` has a row :math:`(1, q_i)` for each rated item, :math:`y` are the ratings minus offset and
        item biases, :math:`m` and :math:`S` are mean and covariance of the prior. The linear system that is
        solved has one equation per rating or per parameter, whichever are fewer in number.

        Args:
            items: inner ids of the rated items, without repetitions, shape (n,).
            ratings: ratings in stars, shape (n,).
            precisions: diagonal of W, shape (n,): a rating with precision 2 counts as two equal ratings;
                None: all are 1.
        """
        design = self._design(items)
        precisions = np.ones(len(items)) if precisions is None else precisions
        mean, covariance = self.prior_mean, self.prior_covariance
        residuals = ratings - self.offset - self.item_biases[items] - design @ mean
        cross_covariance = covariance @ design.T
        if len(items) <= len(mean):
            system = design @ cross_covariance + np.diag(self.noise / precisions)
            posterior = mean + cross_covariance @ np.linalg.solve(system, residuals)
        else:  # the same posterior by the matrix inversion lemma: (S G^T W G + noise I)^-1 S G^T W (y - G m)
            weighted = cross_covariance * precisions
            system = weighted @ design + self.noise * np.eye(len(mean))
            posterior = mean + np.linalg.solve(system, weighted @ residuals)
        return UserFactors(float(posterior[0]), posterior[1:])

    def update_user(
        self, user: int, trained_items: Int32Array, items: Int32Array, ratings: Float64Array
    ) -> UserFactors:
        r"""Return the most likely bias and factors of a trained user, given new ratings.

        .. math:: p_u + (S^{-1} + (T^T T + G^T G) / \sigma^2)^{-1} G^T (y - G p_u) / \sigma^2

        :math:`p_u` are the trained bias and factors, :math:`T` and :math:`G` have a row :math:`(1, q_i)` for
        each item rated in training and since, and :math:`y` are the new ratings minus offset and item biases.
        Without new ratings, nothing changes; the more ratings a user had, the less a new one does.

        Args:
            user: inner id.
            trained_items: items that the user rated in training, shape (m,).
            items: items with a new rating, without repetitions, shape (n,).
            ratings: new ratings in stars, shape (n,).
        """
        trained = self.trained_user_factors(user)
        if not len(items):
            return trained
        design = self._design(items)
        before = np.concatenate([[trained.bias], trained.factors.astype(np.float64)])
        residuals = ratings - self.offset - self.item_biases[items] - design @ before
        known = self._design(trained_items)
        system = self._scaled_prior_precision + known.T @ known + design.T @ design
        posterior = before + np.linalg.solve(system, design.T @ residuals)
        return UserFactors(float(posterior[0]), posterior[1:])

    def _design(self, items: Int32Array) -> Float64Array:
        """Return a row (1, q_i) for each item."""
        design = np.ones((len(items), len(self.prior_mean)))
        design[:, 1:] = self.item_factors[items]
        return design

    @cached_property
    def _scaled_prior_precision(self) -> Float64Array:
        """Inverse of the prior covariance, times the noise."""
        return self.noise * np.asarray(np.linalg.inv(self.prior_covariance), dtype=np.float64)


def _estimate_prior(factors: Float32Array, biases: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return mean and covariance of users' biases and factors; 0 and identity for fewer than two users."""
    width = 1 + factors.shape[1]
    if len(factors) < 2:
        return np.zeros(width), np.eye(width)
    mean = np.concatenate([[biases.mean(dtype=np.float64)], factors.mean(axis=0, dtype=np.float64)])
    deviations = np.column_stack([biases, factors]).astype(np.float64) - mean
    # Summed without BLAS, because its order of summation depends on the processor.
    covariance = np.array([(column[:, None] * deviations).sum(axis=0) for column in deviations.T])
    covariance /= len(deviations) - 1
    return mean, covariance + MIN_VARIANCE * np.trace(covariance) / width * np.eye(width)
