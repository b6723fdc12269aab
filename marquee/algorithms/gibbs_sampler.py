"""Gibbs sampler of Bayesian matrix factorization.

A sweep draws the hyperparameters, feature weights and vectors of the users, then those of the items, then the
precision of the ratings.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.bayesian import draw_vectors
from marquee.algorithms.reproducible_linear_algebra import invert_cholesky_factor, multiply_matrices
from marquee.algorithms.side_information import ROWS_PER_BLOCK, FeatureRegression
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float32Array, Float64Array
from marquee.interactions.matrix import SparseRows

PRIOR_ROWS = 2.0  # weight of the prior, as a number of additional rows that are all zero


class SamplerSide:
    """State of the users or of the items: a vector for each row, and the data that the vectors depend on.

    Args:
        ratings: ratings by row.
        residuals: the ratings less their mean, in the same order.
        regression: regression of the vectors on the ids in the ratings of each row.
        vectors: initial bias and factors of each row, (n_rows, n_dims).

    Attributes:
        vectors: the last draw.
        mean: mean of that draw, given the other side and the hyperparameters.
    """

    def __init__(
        self,
        ratings: SparseRows,
        residuals: Float32Array,
        regression: FeatureRegression,
        vectors: Float32Array,
    ) -> None:
        self._ratings, self._residuals, self._regression = ratings, residuals, regression
        self.vectors, self.mean = vectors, vectors
        self._shift = np.zeros_like(vectors)  # prior mean of each row less the common mean
        self._scatter: Float64Array = np.zeros((vectors.shape[1], vectors.shape[1]))
        self._n_scatter_vectors = 0  # feature weights summed in the scatter; none before the first draw

    def resample(
        self, others: Float32Array, alpha: float, rng: np.random.Generator, *, with_errors: bool
    ) -> float:
        """Draw the hyperparameters, the feature weights and the vectors, given the other side's vectors.

        `vectors` and `mean` become new arrays; the previous ones stay valid.

        Args:
            others: vectors of the other side, (n_others, n_dims).
            alpha: precision of a rating.
            rng: source of random numbers.
            with_errors: compute the errors of the ratings.

        Returns:
            The sum of squared errors at the draw, or 0 without errors.
        """
        center, precision = draw_normal_wishart(
            self.vectors - self._shift, self._scatter, self._n_scatter_vectors, rng
        )
        # White noise times `covariance_root` has the covariance precision^-1.
        covariance_root = invert_cholesky_factor(precision.astype(np.float64)).astype(np.float32)
        self._shift, self._scatter = self._regression.draw_prior_means(
            self.vectors - center, covariance_root, rng
        )
        self._n_scatter_vectors = self._regression.n_features
        linear = multiply_matrices(self._shift + center, precision)
        white = rng.standard_normal(self.vectors.shape, dtype=np.float32)
        draws, mean = np.empty_like(self.vectors), np.empty_like(self.vectors)
        errors = np.empty(len(draws) if with_errors else 0, dtype=np.float32)
        draw_block = partial(
            draw_vectors, self._ratings.indptr, self._ratings.indices, self._residuals, others,
            precision, linear, np.float32(alpha), white, mean, draws, errors,
        )  # fmt: skip
        run_blocks(draw_block, len(draws), ROWS_PER_BLOCK)
        self.vectors, self.mean = draws, mean
        return float(errors.sum(dtype=np.float64))


class GibbsSampler:
    """Markov chain: users given items, items given users, and the precision of a rating given both.

    Args:
        users: the users, with initial vectors.
        items: the items, with initial vectors.
        error: sum of squared errors of the initial vectors.
        n_ratings: number of ratings.

    Attributes:
        pair: vectors of users and items that together form the model of the last sweep.
    """

    def __init__(self, users: SamplerSide, items: SamplerSide, error: float, n_ratings: int) -> None:
        self.users, self.items, self._n_ratings = users, items, n_ratings
        # The mean of the distribution that `sweep` draws from.
        self._alpha = (1 + n_ratings / 2) / (1 + error / 2)
        self.pair = users.mean, items.vectors

    def sweep(self, rng: np.random.Generator) -> float:
        """Draw all variables once; return the sum of squared errors at the draw.

        `pair` becomes the mean of the users given the items, and these items. Using the mean instead of a
        draw removes half of the noise (Rao-Blackwellization).
        """
        self.users.resample(self.items.vectors, self._alpha, rng, with_errors=False)
        self.pair = self.users.mean, self.items.vectors
        error = self.items.resample(self.users.vectors, self._alpha, rng, with_errors=True)
        self._alpha = rng.gamma(1 + self._n_ratings / 2) / (1 + error / 2)
        return error


def draw_normal_wishart(
    rows: Float32Array, scatter: Float64Array, n_scatter_vectors: int, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    r"""Draw the mean m and the precision L of normally distributed rows, (n_dims,) and (n_dims, n_dims).

    .. math:: L \sim \mathcal W\Big(I + \sum_n (t_n - \bar t)(t_n - \bar t)^T
            + \tfrac{\beta N}{\beta + N} \bar t \bar t^T + S\Big)^{-1}, \qquad
        m \mid L \sim \mathcal N\Big(\tfrac{N}{\beta + N} \bar t, ((\beta + N) L)^{-1}\Big)

    with `n_dims` + N + `n_scatter_vectors` degrees of freedom and :math:`\beta` = `PRIOR_ROWS`.
    Salakhutdinov and Mnih (2008), Bayesian Probabilistic Matrix Factorization using MCMC, equation 14.

    Args:
        rows: (N, n_dims).
        scatter: S, the sum of t t' over further vectors t of the same precision and mean zero.
        n_scatter_vectors: number of these vectors.
        rng: source of random numbers.

    Raises:
        numpy.linalg.LinAlgError: the rows are not finite.
    """
    (n, n_dims), rows = rows.shape, rows.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    total = (
        np.eye(n_dims)
        + multiply_matrices(rows.T, rows)
        + np.outer(mean, mean) * (PRIOR_ROWS * n / (PRIOR_ROWS + n))
    )
    # Bartlett's decomposition of a draw from the standard Wishart distribution.
    bartlett = np.tril(rng.standard_normal((n_dims, n_dims)), -1)
    bartlett[np.diag_indices(n_dims)] = np.sqrt(
        rng.chisquare(n_dims + n + n_scatter_vectors - np.arange(n_dims))
    )
    root = multiply_matrices(invert_cholesky_factor(total + scatter).T, bartlett)
    precision = multiply_matrices(root, root.T)
    covariance_root = invert_cholesky_factor(precision * (PRIOR_ROWS + n))
    steps = multiply_matrices(covariance_root.T, rng.standard_normal((n_dims, 1)))[:, 0]
    center = mean * (n / (PRIOR_ROWS + n)) + steps
    return center.astype(np.float32), precision.astype(np.float32)
