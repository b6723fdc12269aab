r"""k-nearest-neighbor models: a rating is predicted from those of the k most similar users or items.

x are the users and y the items if `user_based`, else vice versa. :math:`N` are the neighbors: of the k raters
of y that are most similar to x, those whose similarity s is positive (of equally similar raters, the first to
rate y is preferred). All four models are

.. math:: \hat r_{xy} = \text{base}_{xy} + \text{scale}_x \, A, \qquad
    A = \sum_{x' \in N} s_{xx'} \, z_{x'y} \Big/ \sum_{x' \in N} s_{xx'}

where the offset :math:`z_{x'y}` is the neighbor's rating, its deviation from the neighbor's mean or baseline,
or its z-score. Base and scale reverse this for x. With fewer than `min_k` neighbors, A is 0; if the model has
no base, the prediction is impossible.
"""

from typing import Any

import numpy as np

from marquee.algorithms.base import Estimates
from marquee.algorithms.knn_base import KNNAlgorithm, Options
from marquee.array_types import BoolArray, Float64Array, Int32Array
from marquee.interactions.matrix import InteractionMatrix, SparseRows


class KNNBasic(KNNAlgorithm):
    r"""Average rating of the nearest neighbors, weighted by similarity.

    .. math:: \hat r_{xy} = \sum_{x' \in N} s_{xx'} \, r_{x'y} \Big/ \sum_{x' \in N} s_{xx'}

    Impossible with fewer than `min_k` neighbors. Twin of `surprise.KNNBasic`. Deviation: with `min_k=0` and
    no neighbor, the prediction is impossible as well; the twin divides by zero.

    Args:
        k: maximum number of neighbors.
        min_k: minimum number of neighbors.
        sim_options: `name` (msd, cosine, pearson or pearson_baseline), `user_based`, `min_support` and
            `shrinkage`.
        verbose: print what is computed.
        bsl_options: how pearson_baseline estimates biases; see `BaselineOnly`.
        dtype: type of `sim`: float64 for the same numbers as the twin, or float32 for half the memory.

    Attributes:
        sim: similarities (n_x, n_x).
    """

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        averages, counts = self._average_neighbors(users, items)
        return Estimates(averages, counts < max(self.min_k, 1), {"actual_k": counts})


class KNNWithMeans(KNNAlgorithm):
    r"""k-NN on ratings centered on the mean of each x.

    .. math:: \hat r_{xy} = \mu_x + \sum_{x' \in N} s_{xx'} (r_{x'y} - \mu_{x'}) \Big/ \sum_{x' \in N} s_{xx'}

    With fewer than `min_k` neighbors, the prediction is :math:`\mu_x`. Twin of `surprise.KNNWithMeans`.
    Arguments as in `KNNBasic`.

    Attributes:
        sim: similarities (n_x, n_x).
        means: mean rating of each x (n_x,).
    """

    means: Float64Array

    def _fit_bases(self, matrix: InteractionMatrix) -> None:
        self.means = _row_means(self._ratings_by_x(matrix))

    def _compute_offsets(self, ratings: SparseRows) -> Float64Array:
        return ratings.values - self.means[ratings.indices]

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        averages, counts = self._average_neighbors(users, items)
        xs, _ = self.switch(users, items)
        values = self.means[xs] + self._rescale(averages, xs)
        return Estimates(values, _is_unknown(users, items), {"actual_k": counts})

    def _rescale(self, averages: Float64Array, xs: Int32Array) -> Float64Array:  # noqa: ARG002  z-scores use it
        return averages

    def _ratings_by_x(self, matrix: InteractionMatrix) -> SparseRows:
        return self.switch(matrix.by_user, matrix.by_item)[0]


class KNNWithZScore(KNNWithMeans):
    r"""k-NN on ratings as z-scores of each x.

    .. math:: \hat r_{xy} = \mu_x + \sigma_x \sum_{x' \in N} s_{xx'} \frac{r_{x'y} - \mu_{x'}}{\sigma_{x'}}
        \Big/ \sum_{x' \in N} s_{xx'}

    If :math:`\sigma_x` is 0, the standard deviation of all ratings replaces it. With fewer than `min_k`
    neighbors, the prediction is :math:`\mu_x`. Twin of `surprise.KNNWithZScore`. Deviation: if all ratings of
    the training set are equal, that rating is predicted; the twin divides zero by zero and predicts the top
    of the scale. Arguments as in `KNNBasic`.

    Attributes:
        sim: similarities (n_x, n_x).
        means: mean rating of each x (n_x,).
        sigmas: standard deviation of each x (n_x,).
        overall_sigma: standard deviation of all ratings.
    """

    sigmas: Float64Array
    overall_sigma: np.floating[Any]

    def _fit_bases(self, matrix: InteractionMatrix) -> None:
        super()._fit_bases(matrix)
        ratings = self._ratings_by_x(matrix)
        deviations = ratings.values - np.repeat(self.means, ratings.counts)
        sigmas = np.sqrt(_row_means(SparseRows(ratings.indptr, ratings.indices, deviations * deviations)))
        self.overall_sigma = np.std(matrix.values)
        self.sigmas = np.where(sigmas == 0, self.overall_sigma, sigmas)

    def _compute_offsets(self, ratings: SparseRows) -> Float64Array:
        deviations = super()._compute_offsets(ratings)
        return deviations / self.sigmas[ratings.indices] if self.overall_sigma else deviations

    def _rescale(self, averages: Float64Array, xs: Int32Array) -> Float64Array:
        return averages * self.sigmas[xs]


class KNNBaseline(KNNAlgorithm):
    r"""k-NN on deviations from the baseline :math:`b_{xy} = \mu + b_x + b_y`.

    .. math:: \hat r_{xy} = b_{xy} + \sum_{x' \in N} s_{xx'} (r_{x'y} - b_{x'y}) \Big/ \sum_{x' \in N} s_{xx'}

    With fewer than `min_k` neighbors, and for unknown users or items, whose bias is 0, the prediction is
    :math:`b_{xy}`. Twin of `surprise.KNNBaseline`; works best with pearson_baseline similarities.
    Koren (2010), Factor in the Neighbors, equation 3. Arguments as in `KNNBasic`.

    Attributes:
        sim: similarities (n_x, n_x).
        bu: user biases (n_users,).
        bi: item biases (n_items,).
        bx: biases of each x (n_x,).
        by: biases of each y (n_y,).
    """

    bu: Float64Array
    bi: Float64Array

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
    def bx(self) -> Float64Array:
        """Biases of each x."""
        return self.switch(self.bu, self.bi)[0]

    @property
    def by(self) -> Float64Array:
        """Biases of each y."""
        return self.switch(self.bu, self.bi)[1]

    def _fit_bases(self, matrix: InteractionMatrix) -> None:  # noqa: ARG002
        self.bu, self.bi = self.compute_baselines()

    def _compute_offsets(self, ratings: SparseRows) -> Float64Array:
        mean = self.trainset.global_mean
        baselines: Float64Array = mean + self.bx[ratings.indices] + np.repeat(self.by, ratings.counts)
        return ratings.values - baselines

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        averages, counts = self._average_neighbors(users, items)
        values = self.trainset.global_mean + np.where(users >= 0, self.bu[users], 0)
        values += np.where(items >= 0, self.bi[items], 0)
        return Estimates(values + averages, None, {"actual_k": counts})


def _is_unknown(users: Int32Array, items: Int32Array) -> BoolArray:
    return (users < 0) | (items < 0)


def _row_means(ratings: SparseRows) -> Float64Array:
    """Return the mean of each row, identical to the bit to `np.mean`, and so to Surprise's means.

    A 0 inserted before each row makes `reduceat` add in the order of `np.mean`.
    """
    starts = ratings.indptr[:-1]
    padded = np.insert(ratings.values, starts, 0.0)
    means: Float64Array = np.add.reduceat(padded, starts + np.arange(len(starts))) / ratings.counts
    return means
