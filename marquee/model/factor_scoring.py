r"""Factor space of a factor model: item scores, and fold-in of unknown users.

.. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

Fold-in computes bias and factors of a user from a few ratings, with item factors fixed: the posterior mean of
Bayesian linear regression (Bishop 2006, equations 3.49 to 3.51). The prior is the mean and covariance of the
trained users' biases and factors (empirical Bayes).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marquee.array_types import Float32Array, Float64Array, FloatArray, Int32Array

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
        design = np.ones((len(items), len(self.prior_mean)))
        design[:, 1:] = self.item_factors[items]
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
