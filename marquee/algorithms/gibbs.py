"""A Gibbs sampler: hyperparameters, link and vectors of the users, then those of the items."""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.bayesian import draw_rows
from marquee.algorithms.matrices import invert_cholesky_factor, multiply_matrices
from marquee.algorithms.side_information import BLOCK, Link
from marquee.algorithms.threads import run_blocks
from marquee.arrays import Float32Array, Float64Array
from marquee.interactions.matrix import SparseRows

SHRINK = 2.0  # the common mean is drawn as if that many more rows lay at zero


class Side:
    """The users, or the items: their vectors, and what these are drawn from.

    Args:
        ratings: who is rated with whom.
        residuals: the ratings less their mean, in the same order.
        link: what the vectors depend on besides.
        vectors: initial bias and factors of each row, (n_rows, n_dims).

    Attributes:
        vectors: the last draw.
        mean: its mean, given the other side and the hyperparameters.
    """

    def __init__(
        self, ratings: SparseRows, residuals: Float32Array, link: Link, vectors: Float32Array
    ) -> None:
        self._ratings, self._residuals, self._link = ratings, residuals, link
        self.vectors, self.mean = vectors, vectors
        self._shift = np.zeros_like(vectors)  # what the link adds to the common mean
        self._scatter: Float64Array = np.zeros((vectors.shape[1], vectors.shape[1]))
        self._weight = 0  # rows that the scatter is of: there is no link before the first draw

    def draw(
        self, others: Float32Array, alpha: float, noise: np.random.Generator, *, measured: bool
    ) -> float:
        """Draw everything anew, given the other side's vectors; return the sum of squared errors at the draw.

        `alpha` is the precision of a rating. `vectors` and `mean` are new arrays afterwards. Errors that are
        not `measured` are 0.
        """
        centre, precision = normal_wishart(self.vectors - self._shift, self._scatter, self._weight, noise)
        # white noise times this has covariance 1/precision
        half = invert_cholesky_factor(precision.astype(np.float64)).astype(np.float32)
        self._shift, self._scatter = self._link.draw(self.vectors - centre, half, noise)
        self._weight = self._link.n_features
        linear = multiply_matrices(self._shift + centre, precision)
        white = noise.standard_normal(self.vectors.shape, dtype=np.float32)
        drawn, mean = np.empty_like(self.vectors), np.empty_like(self.vectors)
        errors = np.empty(len(drawn) if measured else 0, dtype=np.float32)
        work = partial(
            draw_rows, self._ratings.indptr, self._ratings.indices, self._residuals, others,
            precision, linear, np.float32(alpha), white, mean, drawn, errors,
        )  # fmt: skip
        run_blocks(work, len(drawn), BLOCK)
        self.vectors, self.mean = drawn, mean
        return float(errors.sum(dtype=np.float64))


class Sampler:
    """The chain: users given items, items given users, and the precision of a rating given both.

    Args:
        users, items: both sides, from where they are to begin.
        error: the sum of squared errors there.
        n_ratings: of so many.
    """

    def __init__(self, users: Side, items: Side, error: float, n_ratings: int) -> None:
        self.users, self.items, self._n_ratings = users, items, n_ratings
        self._alpha = (1 + n_ratings / 2) / (1 + error / 2)  # the mean of what `sweep` draws
        self.pair = users.mean, items.vectors

    def sweep(self, noise: np.random.Generator) -> float:
        """Draw everything once; return the sum of squared errors at the draw.

        `pair` is then a model: the items that were given, and the mean of the users given these. That mean
        in place of a draw takes half the noise out (Rao-Blackwell).
        """
        self.users.draw(self.items.vectors, self._alpha, noise, measured=False)
        self.pair = self.users.mean, self.items.vectors
        error = self.items.draw(self.users.vectors, self._alpha, noise, measured=True)
        self._alpha = noise.gamma(1 + self._n_ratings / 2) / (1 + error / 2)
        return error


def normal_wishart(
    rows: Float32Array, scatter: Float64Array, weight: int, noise: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    r"""Draw the mean m and the precision L of normally distributed rows, (n_dims,) and (n_dims, n_dims).

    .. math:: L \sim \mathcal W\Big(I + \sum_n (t_n - \bar t)(t_n - \bar t)^T
            + \tfrac{\beta N}{\beta + N} \bar t \bar t^T + S\Big)^{-1}, \qquad
        m \mid L \sim \mathcal N\Big(\tfrac{N}{\beta + N} \bar t, ((\beta + N) L)^{-1}\Big)

    with :math:`n_{dims} + N + weight` degrees of freedom and :math:`\beta` = `SHRINK`. Salakhutdinov and
    Mnih (2008), Bayesian Probabilistic Matrix Factorization using MCMC, equation 14.

    Args:
        rows: (N, n_dims).
        scatter: S, the sum of squares of further vectors of the same precision and mean zero.
        weight: how many these are.
        noise: where standard normal numbers come from.

    Raises:
        numpy.linalg.LinAlgError: the rows are not finite numbers.
    """
    (n, n_dims), rows = rows.shape, rows.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    total = (
        np.eye(n_dims) + multiply_matrices(rows.T, rows) + np.outer(mean, mean) * (SHRINK * n / (SHRINK + n))
    )
    corner = np.tril(noise.standard_normal((n_dims, n_dims)), -1)  # Bartlett's decomposition
    corner[np.diag_indices(n_dims)] = np.sqrt(noise.chisquare(n_dims + n + weight - np.arange(n_dims)))
    root = multiply_matrices(invert_cholesky_factor(total + scatter).T, corner)
    precision = multiply_matrices(root, root.T)
    half = invert_cholesky_factor(precision * (SHRINK + n))
    steps = multiply_matrices(half.T, noise.standard_normal((n_dims, 1)))[:, 0]
    centre = mean * (n / (SHRINK + n)) + steps
    return centre.astype(np.float32), precision.astype(np.float32)
