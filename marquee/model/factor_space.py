r"""The space that a factor model puts users and items in: scores in it, and a place in it for a newcomer.

.. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

A newcomer with a few ratings is folded in, without training: of all places where a user may stand, the
likeliest one given the ratings. Before any rating that is the mean of the trained users, and how far users
spread around it, and in which directions, is their covariance (empirical Bayes; the posterior mean of
Bayesian linear regression: Bishop 2006, equations 3.49 to 3.51, the prior from the trained users).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marquee.arrays import Floats, Integers, Real, Scores

JITTER = 1e-6  # of the prior's variance: directions in which no user ever differed stay closed, not singular


class Place(NamedTuple):
    """Where a user stands."""

    bias: float
    factors: Real  # (k,)


@dataclass(frozen=True)
class FactorSpace:
    """A factor model's parameters. Unbiased models have biases and an offset of zero."""

    item_factors: Scores  # (n_items, k)
    item_biases: Scores  # (n_items,)
    user_factors: Scores  # (n_users, k), what the item factors are multiplied by
    user_biases: Scores  # (n_users,)
    prior_mean: Floats  # (1 + k,), of the trained users' biases and factors
    prior_covariance: Floats  # (1 + k, 1 + k)
    offset: float  # the global mean of a biased model, in stars; else 0
    noise: float  # variance of a rating around its estimate, in squared stars

    @classmethod
    def of(
        cls,
        items: tuple[Real, Real],
        users: tuple[Real, Real],
        offset: float,
        noise: float,
    ) -> "FactorSpace":
        """Of the factors and biases of items and of users; the prior is taken from the users."""
        item_factors, item_biases = (np.asarray(part, np.float32) for part in items)
        user_factors, user_biases = (np.asarray(part, np.float32) for part in users)
        mean, covariance = _prior(user_factors, user_biases)
        return cls(
            item_factors, item_biases, user_factors, user_biases, mean, covariance, offset, max(noise, JITTER)
        )

    def known(self, user: int) -> Place:
        """Where a trained user stands."""
        return Place(float(self.user_biases[user]), self.user_factors[user])

    def scores(self, place: Place) -> Scores:
        """Scores of all items from a place, in stars, unclipped; shape (n_items,)."""
        scores = self.item_factors @ place.factors.astype(np.float32)
        scores += self.item_biases
        scores += np.float32(self.offset + place.bias)
        return scores

    def fold_in(self, items: Integers, ratings: Floats) -> Place:
        r"""The likeliest place of somebody who gave these ratings.

        .. math:: m + S G^T (G S G^T + \sigma^2 I)^{-1} (y - G m)

        with :math:`G` the rows :math:`(1, q_i)` of the rated items, :math:`y` the ratings less offset and
        item biases, and :math:`m, S` the prior. It costs a system of as many equations as there are
        ratings, or as there are factors, whichever is less.

        Args:
            items: numbers of the rated items, each once, shape (n,).
            ratings: in stars, shape (n,).
        """
        design = np.ones((len(items), len(self.prior_mean)))
        design[:, 1:] = self.item_factors[items]
        mean, covariance = self.prior_mean, self.prior_covariance
        surprise = ratings - self.offset - self.item_biases[items] - design @ mean
        spread = covariance @ design.T
        if len(items) <= len(mean):
            found = mean + spread @ np.linalg.solve(
                design @ spread + self.noise * np.eye(len(items)), surprise
            )
        else:  # the same by the matrix inversion lemma: (S G^T G + noise I)^-1 S G^T y
            found = mean + np.linalg.solve(
                spread @ design + self.noise * np.eye(len(mean)), spread @ surprise
            )
        return Place(float(found[0]), found[1:])


def _prior(factors: Scores, biases: Scores) -> tuple[Floats, Floats]:
    """Mean and covariance of the users' biases and factors; nobody to learn from: zero and one."""
    width = 1 + factors.shape[1]
    if len(factors) < 2:
        return np.zeros(width), np.eye(width)
    mean = np.concatenate([[biases.mean(dtype=np.float64)], factors.mean(axis=0, dtype=np.float64)])
    deviations = np.column_stack([biases, factors]).astype(np.float64) - mean
    covariance = deviations.T @ deviations / (len(deviations) - 1)
    return mean, covariance + JITTER * np.trace(covariance) / width * np.eye(width)
