"""Side information of a factor model: the items that a user rated, and the users that rated an item.

A row is a user or an item. Its features are the ids in its ratings: the items that the user rated, or the
users who rated the item. The prior mean of a row is a weighted sum of learned vectors, one for each feature.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.bayesian import add_co_occurrence_weights
from marquee.algorithms.kernels.list_sums import sum_listed_rows
from marquee.algorithms.reproducible_linear_algebra import Cholesky, allocate_padded_square, multiply_matrices
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float32Array, Float64Array
from marquee.errors import DivergedError
from marquee.interactions.matrix import SparseRows

ROWS_PER_BLOCK = 256  # rows that one thread works on at a time
MAX_FACTORIZED_ROWS = 12_000  # rows of a matrix of 0.6 GB; larger systems are solved iteratively
MAX_CG_STEPS = 60  # steps of conjugate gradients
CG_TOLERANCE = 1e-3  # norm of the residual, relative to the right-hand side, at which conjugate gradients end


class FeatureRegression:
    r"""Bayesian linear regression :math:`M = X B` of the rows T of one side on their features.

    .. math:: X_{nf} = \frac{[f \in N(n)]}{\sqrt{|N(n)|}}, \qquad
        T \mid M, L \sim \mathcal N(M, L^{-1}), \qquad B_f \sim \mathcal N(0, (\lambda L)^{-1})

    B is drawn by Matheron's rule: a draw :math:`B_0` from the prior, corrected for its residuals,

    .. math:: B = B_0 + X^T (X X^T + \lambda I)^{-1} (T - X B_0 - \varepsilon),
        \qquad \varepsilon \sim \mathcal N(0, L^{-1})

    or the equivalent with :math:`X^T X` if there are fewer features than rows. The matrix to invert depends
    only on which pairs are rated, so it is factorized once; if even the smaller of the two is too large for
    that, systems are solved by conjugate gradients. Simm and others (2017), Macau, section 3.

    Args:
        rows: the features of each row.
        features: the rows of each feature.
        reg: :math:`\lambda`, above 0; with a higher value, a single feature has less influence.
        max_factorized_rows: number of rows of the largest matrix that is factorized.

    Raises:
        DivergedError: the regularization is too low for single precision.
    """

    def __init__(
        self,
        rows: SparseRows,
        features: SparseRows,
        reg: float,
        max_factorized_rows: int = MAX_FACTORIZED_ROWS,
    ) -> None:
        self._rows, self._features, self._reg = rows, features, np.float32(reg)
        self.n_rows, self.n_features = len(rows.indptr) - 1, len(features.indptr) - 1
        self._weights: Float32Array = (1 / np.sqrt(np.maximum(rows.counts, 1))).astype(np.float32)
        self._ones: Float32Array = np.ones(self.n_features, dtype=np.float32)
        self._by_feature = self.n_features <= self.n_rows
        self._factor = self._factorize() if min(self.n_rows, self.n_features) <= max_factorized_rows else None

    def draw_prior_means(
        self, T: Float32Array, covariance_root: Float32Array, rng: np.random.Generator
    ) -> tuple[Float32Array, Float64Array]:
        """Draw B given the rows; return their prior means M = X B, (n_rows, n_dims), and reg B'B.

        Args:
            T: the rows less their common mean, (n_rows, n_dims).
            covariance_root: matrix H such that H'H is the inverse of L, (n_dims, n_dims).
            rng: source of random numbers.
        """
        B = _draw_noise(self.n_features, covariance_root, rng)
        B /= np.sqrt(self._reg)
        M = self._weighted_feature_sums(B)
        noise = _draw_noise(self.n_rows, covariance_root, rng)
        residual = np.subtract(T, noise, out=noise)
        residual -= M
        if self._by_feature:
            correction = self._solve(self._weighted_row_sums(residual))
            M += self._weighted_feature_sums(correction)
        else:
            solution = self._solve(residual)
            correction = self._weighted_row_sums(solution)
            M += residual
            M -= self._reg * solution  # X X' = (X X' + reg I) - reg I
        B += correction
        return M, multiply_matrices(B.T, B).astype(np.float64) * float(self._reg)

    def _weighted_feature_sums(self, B: Float32Array) -> Float32Array:
        """Return X B."""
        return _sum_listed(self._rows, self._weights, B)

    def _weighted_row_sums(self, T: Float32Array) -> Float32Array:
        """Return X'T."""
        return _sum_listed(self._features, self._ones, T * self._weights[:, None])

    def _factorize(self) -> Cholesky:
        """Return the Cholesky factor of the smaller of X'X + reg I and X X' + reg I."""
        if self._by_feature:
            square = _sum_shared_weights(self._features, self._rows, self._weights**2)
        else:
            square = _sum_shared_weights(self._rows, self._features, self._ones)
            products = square[: self.n_rows, : self.n_rows]
            products *= self._weights
            products *= self._weights[:, None]
        n = min(self.n_rows, self.n_features)
        diagonal = np.arange(n)
        square[diagonal, diagonal] += self._reg
        try:
            return Cholesky(square, n)
        except np.linalg.LinAlgError:
            raise DivergedError(
                f"the regression on rated ids has no solution in single precision with regularization "
                f"{self._reg:g}; raise reg_user and reg_item"
            ) from None

    def _solve(self, V: Float32Array) -> Float32Array:
        """Return the inverse of the matrix that `_factorize` factorizes, times V."""
        if self._factor is None:
            return self._solve_iteratively(V)
        return self._factor.solve(V)

    def _solve_iteratively(self, V: Float32Array) -> Float32Array:
        """Solve by conjugate gradients, for all columns at once, without forming the matrix."""
        solution, residual = np.zeros_like(V), V.copy()
        direction, squared_norm = residual.copy(), _column_dots(residual, residual)
        squared_tolerance = CG_TOLERANCE**2 * squared_norm
        for _ in range(MAX_CG_STEPS):
            if (squared_norm <= squared_tolerance).all():
                break
            product = self._multiply_system(direction)
            step = squared_norm / np.maximum(_column_dots(direction, product), np.finfo(np.float32).tiny)
            solution += step * direction
            residual -= step * product
            squared_norm, previous = _column_dots(residual, residual), squared_norm
            direction *= squared_norm / np.maximum(previous, np.finfo(np.float32).tiny)
            direction += residual
        return solution

    def _multiply_system(self, V: Float32Array) -> Float32Array:
        """Return the matrix that `_factorize` would factorize, times V."""
        product = (
            self._weighted_row_sums(self._weighted_feature_sums(V))
            if self._by_feature
            else self._weighted_feature_sums(self._weighted_row_sums(V))
        )
        return product + self._reg * V


def _draw_noise(n: int, covariance_root: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Draw n vectors of mean zero, given H such that H'H is their covariance, (n, n_dims)."""
    white = rng.standard_normal((n, len(covariance_root)), dtype=np.float32)
    return multiply_matrices(white, covariance_root)


def _column_dots(a: Float32Array, b: Float32Array) -> Float32Array:
    """Return the dot product of each column of a with the same column of b."""
    return np.asarray(np.einsum("nf,nf->f", a, b))


def _sum_listed(lists: SparseRows, weights: Float32Array, table: Float32Array) -> Float32Array:
    """Return, for each list of ids, its weight times the sum of the rows of `table` with these ids."""
    out = np.empty((len(lists.indptr) - 1, table.shape[1]), dtype=np.float32)
    table = np.ascontiguousarray(table)
    sum_block = partial(sum_listed_rows, lists.indptr, lists.indices, weights, table, out)
    run_blocks(sum_block, len(out), ROWS_PER_BLOCK)
    return out


def _sum_shared_weights(lists: SparseRows, other_lists: SparseRows, weights: Float32Array) -> Float32Array:
    """Return, for each pair of lists, the sum of `weights` over the ids that both contain.

    `other_lists` holds the lists that contain each id. The result is an `allocate_padded_square`.
    """
    n = len(lists.indptr) - 1
    square = allocate_padded_square(n)
    add_block = partial(
        add_co_occurrence_weights,
        lists.indptr,
        lists.indices,
        other_lists.indptr,
        other_lists.indices,
        weights,
        square,
    )
    run_blocks(add_block, n, ROWS_PER_BLOCK)
    return square
