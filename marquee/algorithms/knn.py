r"""Neighbourhood models: a rating is predicted from those of the k most similar users, or items.

x is a user and y an item where `user_based`, else the other way round. :math:`N` are those of the k raters
of y most similar to x (of equals, the first to rate it) whose similarity s is positive. All four models are

.. math:: \hat r_{xy} = \text{base}_{xy} + \text{scale}_x \, A, \qquad
    A = \sum_{x' \in N} s_{xx'} \, z_{x'y} \Big/ \sum_{x' \in N} s_{xx'}

where the offset :math:`z_{x'y}` is the neighbour's rating as seen from the neighbour's own mean, z-score or
baseline. With fewer than `min_k` neighbours A is 0, or the estimate impossible where there is no base.
"""

from typing import Any

import numpy as np

from marquee.algorithms.base import Estimates
from marquee.algorithms.knn_base import Options, SymmetricAlgorithm
from marquee.arrays import Floats, Integers, Mask
from marquee.interactions.matrix import Grouped, RatingMatrix


class KNNBasic(SymmetricAlgorithm):
    r"""The average rating of the nearest neighbours, weighted by similarity.

    .. math:: \hat r_{xy} = \sum_{x' \in N} s_{xx'} \, r_{x'y} \Big/ \sum_{x' \in N} s_{xx'}

    Impossible with fewer than `min_k` neighbours. Twin of `surprise.KNNBasic`. Deviation: with `min_k` 0
    and no neighbour it is impossible too, where the twin divides by zero.

    Args:
        k: how many neighbours at most.
        min_k: how many at least.
        sim_options: `name` (msd, cosine, pearson, pearson_baseline), `user_based`, `min_support`,
            `shrinkage`.
        verbose: say what is computed.
        bsl_options: how the biases of pearson_baseline are estimated, as in `BaselineOnly`.
        dtype: of `sim`: float64, which gives the twin's numbers, or float32, half the memory.

    Attributes: `sim` (n_x, n_x).
    """

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        averages, counts = self._averages(users, items)
        return Estimates(averages, counts < max(self.min_k, 1), {"actual_k": counts})


class KNNWithMeans(SymmetricAlgorithm):
    r"""As `KNNBasic`, with ratings as distances from their givers' means.

    .. math:: \hat r_{xy} = \mu_x + \sum_{x' \in N} s_{xx'} (r_{x'y} - \mu_{x'}) \Big/ \sum_{x' \in N} s_{xx'}

    With fewer than `min_k` neighbours it is :math:`\mu_x`. Twin of `surprise.KNNWithMeans`.
    Arguments as `KNNBasic`.

    Attributes: `sim` (n_x, n_x), `means` (n_x,).
    """

    means: Floats

    def _learn_bases(self, matrix: RatingMatrix) -> None:
        self.means = _means(self._by_x(matrix))

    def _offsets_of(self, ratings: Grouped) -> Floats:
        return ratings.values - self.means[ratings.others]

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        averages, counts = self._averages(users, items)
        xs, _ = self.switch(users, items)
        return Estimates(
            self.means[xs] + self._scaled(averages, xs), _unknown(users, items), {"actual_k": counts}
        )

    def _scaled(self, averages: Floats, xs: Integers) -> Floats:  # noqa: ARG002  z-scores are
        return averages

    def _by_x(self, matrix: RatingMatrix) -> Grouped:
        return self.switch(matrix.by_user, matrix.by_item)[0]


class KNNWithZScore(KNNWithMeans):
    r"""As `KNNBasic`, with ratings as z-scores of their givers.

    .. math:: \hat r_{xy} = \mu_x + \sigma_x \sum_{x' \in N} s_{xx'} \frac{r_{x'y} - \mu_{x'}}{\sigma_{x'}}
        \Big/ \sum_{x' \in N} s_{xx'}

    Where :math:`\sigma_x` is 0, that of all ratings stands in. With fewer than `min_k` neighbours it is
    :math:`\mu_x`. Twin of `surprise.KNNWithZScore`. Deviation: where all ratings there are are the same,
    they are predicted; the twin divides zero by zero and ends at the top of the scale.
    Arguments as `KNNBasic`.

    Attributes: `sim` (n_x, n_x), `means` and `sigmas` (n_x,), `overall_sigma`.
    """

    sigmas: Floats
    overall_sigma: np.floating[Any]

    def _learn_bases(self, matrix: RatingMatrix) -> None:
        super()._learn_bases(matrix)
        ratings = self._by_x(matrix)
        distances = ratings.values - np.repeat(self.means, ratings.counts)
        sigmas = np.sqrt(_means(Grouped(ratings.indptr, ratings.others, distances * distances)))
        self.overall_sigma = np.std(matrix.values)
        self.sigmas = np.where(sigmas == 0, self.overall_sigma, sigmas)

    def _offsets_of(self, ratings: Grouped) -> Floats:
        distances = super()._offsets_of(ratings)
        return distances / self.sigmas[ratings.others] if self.overall_sigma else distances

    def _scaled(self, averages: Floats, xs: Integers) -> Floats:
        return averages * self.sigmas[xs]


class KNNBaseline(SymmetricAlgorithm):
    r"""As `KNNBasic`, with ratings as distances from the baseline :math:`b_{xy} = \mu + b_x + b_y`.

    .. math:: \hat r_{xy} = b_{xy} + \sum_{x' \in N} s_{xx'} (r_{x'y} - b_{x'y}) \Big/ \sum_{x' \in N} s_{xx'}

    With fewer than `min_k` neighbours it is :math:`b_{xy}`; so it is for unknown users and items, which have
    no bias. Twin of `surprise.KNNBaseline`; best with pearson_baseline similarities.
    Koren (2010), Factor in the Neighbors, equation 3.

    Arguments as `KNNBasic`.

    Attributes: `sim` (n_x, n_x), `bu` (n_users,), `bi` (n_items,), also as `bx` and `by`.
    """

    bu: Floats
    bi: Floats

    def __init__(
        self,
        k: int = 40,
        min_k: int = 1,
        sim_options: Options | None = None,
        bsl_options: Options | None = None,
        verbose: bool = True,
        dtype: str = "float64",
    ) -> None:
        super().__init__(k, min_k, sim_options, verbose, bsl_options, dtype)

    @property
    def bx(self) -> Floats:
        """The biases of x."""
        return self.switch(self.bu, self.bi)[0]

    @property
    def by(self) -> Floats:
        """The biases of y."""
        return self.switch(self.bu, self.bi)[1]

    def _learn_bases(self, matrix: RatingMatrix) -> None:  # noqa: ARG002
        self.bu, self.bi = self.compute_baselines()

    def _offsets_of(self, ratings: Grouped) -> Floats:
        mean = self.trainset.global_mean
        baselines: Floats = mean + self.bx[ratings.others] + np.repeat(self.by, ratings.counts)
        return ratings.values - baselines

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        averages, counts = self._averages(users, items)
        values = self.trainset.global_mean + np.where(users >= 0, self.bu[users], 0)
        values += np.where(items >= 0, self.bi[items], 0)
        return Estimates(values + averages, None, {"actual_k": counts})


def _unknown(users: Integers, items: Integers) -> Mask:
    return (users < 0) | (items < 0)


def _means(ratings: Grouped) -> Floats:
    """Mean of each group, to the bit that of `np.mean`: a 0 before each makes `reduceat` add in its order."""
    starts = ratings.indptr[:-1]
    padded = np.insert(ratings.values, starts, 0.0)
    means: Floats = np.add.reduceat(padded, starts + np.arange(len(starts))) / ratings.counts
    return means
