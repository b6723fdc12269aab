"""Which items a user rated, and by whom an item was rated, as side information of a factor model.

The prior mean of a row is a weighted sum over what it is rated with: M = X B, a matrix of the rows' own.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.bayesian import co_occurrences, sum_rows
from marquee.algorithms.matrices import Cholesky, allocate_padded_square, multiply_matrices
from marquee.algorithms.threads import run_blocks
from marquee.arrays import Float32Array, Float64Array
from marquee.errors import DivergedError
from marquee.interactions.matrix import SparseRows

BLOCK = 256  # rows that one thread works on at a time
LARGEST = 12_000  # rows of a matrix that is factorised: 0.6 GB; past that the steps are iterative
STEPS, CLOSE = 60, 1e-3  # of conjugate gradients: at most so many, until the residual is so small a part


class Link:
    r"""The regression :math:`M = X B` of the rows T of one side on what they are rated with.

    .. math:: X_{nf} = \frac{[f \in N(n)]}{\sqrt{|N(n)|}}, \qquad
        T \mid M, L \sim \mathcal N(M, L^{-1}), \qquad B_f \sim \mathcal N(0, (\lambda L)^{-1})

    B is drawn by Matheron's rule: a draw :math:`B_0` of the prior, corrected by what the rows are off,

    .. math:: B = B_0 + X^T (X X^T + \lambda I)^{-1} (T - X B_0 - \varepsilon),
        \qquad \varepsilon \sim \mathcal N(0, L^{-1})

    or by the same with :math:`X^T X` where there are fewer features than rows. What is inverted depends on
    the ratings alone and is factorised once; where even the shorter side is too long for that, systems
    are solved by conjugate gradients. Simm and others (2017), Macau, section 3.

    Args:
        rows: the lists of features of each row.
        features: the lists of rows of each feature.
        reg: :math:`\lambda`, above 0: how little a single feature can do.
        largest: the longest matrix that is factorised.

    Raises:
        DivergedError: the regularisation is too low for the precision.
    """

    def __init__(self, rows: SparseRows, features: SparseRows, reg: float, largest: int = LARGEST) -> None:
        self._rows, self._features, self._reg = rows, features, np.float32(reg)
        self.n_rows, self.n_features = len(rows.indptr) - 1, len(features.indptr) - 1
        self._weights: Float32Array = (1 / np.sqrt(np.maximum(rows.counts, 1))).astype(np.float32)
        self._ones: Float32Array = np.ones(self.n_features, dtype=np.float32)
        self._by_feature = self.n_features <= self.n_rows
        self._factor = self._factorised() if min(self.n_rows, self.n_features) <= largest else None

    def draw(self, T: Float32Array, half: Float32Array, noise: np.random.Generator) -> tuple[Float32Array, Float64Array]:
        """A draw of M given the rows, both (n_rows, n_dims), and reg B'B of the same draw.

        Args:
            T: the rows less their common mean.
            half: H with H'H the inverse of L, (n_dims, n_dims).
            noise: where standard normal numbers come from.
        """
        n_dims = T.shape[1]
        B = multiply_matrices(noise.standard_normal((self.n_features, n_dims), dtype=np.float32), half)
        B /= np.sqrt(self._reg)
        drawn = self._of_rows(B)
        off = multiply_matrices(noise.standard_normal((self.n_rows, n_dims), dtype=np.float32), half)
        np.subtract(T, off, out=off)
        off -= drawn
        if self._by_feature:
            change = self._solve(self._of_features(off))
            drawn += self._of_rows(change)
        else:
            solved = self._solve(off)
            change = self._of_features(solved)
            drawn += off
            drawn -= self._reg * solved  # X X' = (X X' + reg I) - reg I
        B += change
        return drawn, multiply_matrices(B.T, B).astype(np.float64) * float(self._reg)

    def _of_rows(self, B: Float32Array) -> Float32Array:
        """X B."""
        return _sums(self._rows, self._weights, B)

    def _of_features(self, T: Float32Array) -> Float32Array:
        """X'T."""
        return _sums(self._features, self._ones, T * self._weights[:, None])

    def _factorised(self) -> Cholesky:
        """Cholesky factor of X'X + reg I or of X X' + reg I."""
        if self._by_feature:
            square = _products(self._features, self._rows, self._weights**2)
        else:
            square = _products(self._rows, self._features, self._ones)
            filled = square[: self.n_rows, : self.n_rows]
            filled *= self._weights
            filled *= self._weights[:, None]
        n = min(self.n_rows, self.n_features)
        square.reshape(-1)[: n * len(square) : len(square) + 1] += self._reg
        try:
            return Cholesky(square, n)
        except np.linalg.LinAlgError:
            raise DivergedError(
                f"links of items and users with a regularisation of {self._reg:g} have no solution in single "
                "precision: raise reg_user and reg_item"
            ) from None

    def _solve(self, V: Float32Array) -> Float32Array:
        """The inverse of what `_factorised` factorises, times V."""
        if self._factor is None:
            return self._solve_by_steps(V)
        return self._factor.solve(V)

    def _solve_by_steps(self, V: Float32Array) -> Float32Array:
        """Conjugate gradients, all columns side by side; the matrix is never made."""
        solved, residual = np.zeros_like(V), V.copy()
        direction, size = residual.copy(), _column_sums(residual, residual)
        goal = CLOSE**2 * size
        for _ in range(STEPS):
            if (size <= goal).all():
                break
            image = self._times(direction)
            step = size / np.maximum(_column_sums(direction, image), np.finfo(np.float32).tiny)
            solved += step * direction
            residual -= step * image
            size, before = _column_sums(residual, residual), size
            direction *= size / np.maximum(before, np.finfo(np.float32).tiny)
            direction += residual
        return solved

    def _times(self, V: Float32Array) -> Float32Array:
        there = (
            self._of_features(self._of_rows(V)) if self._by_feature else self._of_rows(self._of_features(V))
        )
        return there + self._reg * V


def _column_sums(a: Float32Array, b: Float32Array) -> Float32Array:
    return np.asarray(np.einsum("nf,nf->f", a, b))


def _sums(lists: SparseRows, weights: Float32Array, table: Float32Array) -> Float32Array:
    """Weighted sums over each list of the table's rows that it names."""
    out = np.empty((len(lists.indptr) - 1, table.shape[1]), dtype=np.float32)
    table = np.ascontiguousarray(table)
    work = partial(sum_rows, lists.indptr, lists.indices, weights, table, out)
    run_blocks(work, len(out), BLOCK)
    return out


def _products(lists: SparseRows, back: SparseRows, weights: Float32Array) -> Float32Array:
    """Sums of `weights` over what each two lists share, in a `padded_square`."""
    n = len(lists.indptr) - 1
    square = allocate_padded_square(n)
    work = partial(co_occurrences, lists.indptr, lists.indices, back.indptr, back.indices, weights, square)
    run_blocks(work, n, BLOCK)
    return square
