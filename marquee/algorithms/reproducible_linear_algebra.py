"""Dense linear algebra whose results depend neither on the processor nor on the number of threads.

The order in which BLAS and LAPACK add numbers depends on the processor, so the last digits of their results
differ between machines. These functions take up to twice as long.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.linear_algebra import (
    cholesky_factorize,
    diagonalize,
    extend_cholesky_factor,
    invert_lower_triangular,
    mirror_lower_triangle,
    multiply,
    multiply_by_triangle,
    orthonormalize_rows,
    pack_symmetric_rows,
    solve_with_factor,
    subtract_factor_product,
    unpack_symmetric_rows,
)
from marquee.algorithms.kernels.simd_vectors import VECTOR_BYTES
from marquee.algorithms.threads import run_blocks, thread_count
from marquee.array_types import Float32Array, Float64Array, FloatArray

BLOCK_SIZE = 64  # columns of a Cholesky factor computed in one step
SWEEP_SIZE = 128  # rows of an inverse computed in one step, which reads and writes half of the matrix
# Multiplications of a block: about 0.5 ms of work for a thread, which takes 0.1 ms to start.
MIN_MULTIPLICATIONS = 1 << 24


def pack_panels(B: FloatArray) -> FloatArray:
    """Copy a matrix (depth, n) to panels (n_panels, depth, panel_width), padded with zeros."""
    (depth, n), panel_width = B.shape, _panel_width(B)
    n_panels = -(-n // panel_width)
    padded = np.zeros((depth, n_panels * panel_width), dtype=B.dtype)
    padded[:, :n] = B
    return np.ascontiguousarray(padded.reshape(depth, n_panels, panel_width).swapaxes(0, 1))


def multiply_matrices(A: FloatArray, B: FloatArray) -> FloatArray:
    """Return A B. Both matrices must have the same dtype; A may be a transposed view."""
    panels, out = pack_panels(B), np.empty((len(A), B.shape[1]), dtype=B.dtype)
    run_blocks(partial(multiply, *_flatten(A), panels, out), len(A), _block_size(B.size))
    return out


def multiply_packed(A: FloatArray, panels: FloatArray, out: FloatArray) -> None:
    """Write A B to `out` on one thread; `panels` is B, packed by `pack_panels`."""
    multiply(*_flatten(A), panels, out, 0, len(A))


def invert_cholesky_factor(A: FloatArray) -> FloatArray:
    """Return the inverse of the lower Cholesky factor L of A = L L'.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite or not finite.
    """
    L, inverse = A.copy(), np.zeros_like(A)
    if not cholesky_factorize(L, 0, len(L)):
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    invert_lower_triangular(L, inverse)
    return inverse


def allocate_padded_square(n: int) -> Float32Array:
    """Return an (n, n) matrix of zeros, extended by an identity matrix to a size that `Cholesky` supports."""
    size = n + -n % (2 * VECTOR_BYTES // np.dtype(np.float32).itemsize)
    square = np.zeros((size, size), dtype=np.float32)
    np.fill_diagonal(square[n:, n:], 1)
    return square


class Cholesky:
    """Cholesky factor L of a symmetric positive definite matrix A = L L', for solving many systems.

    Args:
        square: `allocate_padded_square` with the lower triangle of A written into it; it is overwritten.
        n: size of A.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite or not finite.
    """

    def __init__(self, square: Float32Array, n: int) -> None:
        self._L, self._n = square, n
        for first in range(0, len(square), BLOCK_SIZE):
            self._factorize(first, min(first + BLOCK_SIZE, len(square)))
        run_blocks(partial(mirror_lower_triangle, square, 1.0), len(square), _block_size(len(square)))

    def solve(self, V: Float32Array) -> Float32Array:
        """Return the solution X of A X = V, (n, n_columns)."""
        size = len(self._L)
        panels = pack_panels(np.pad(V, ((0, size - self._n), (0, 0))))
        # A single thread gets all panels at once, so that the factor is read only once.
        per_thread = len(panels) if thread_count() == 1 else _block_size(size * size * panels.shape[2])
        run_blocks(partial(solve_with_factor, self._L, panels), len(panels), per_thread)
        return np.ascontiguousarray(panels.swapaxes(0, 1).reshape(size, -1)[: self._n, : V.shape[1]])

    def _factorize(self, first: int, end: int) -> None:
        """Compute columns first..end of the factor L, and subtract their L L' from the rest of the matrix."""
        if not cholesky_factorize(self._L, first, end):
            raise np.linalg.LinAlgError("the matrix is not positive definite")
        n, panel_width = len(self._L), _panel_width(self._L)
        panels = np.empty((n // panel_width, end - first, panel_width), self._L.dtype)

        def extend_rows(start: int, stop: int) -> None:
            extend_cholesky_factor(self._L, first, panels, end + start, end + stop)

        def update_rows(start: int, stop: int) -> None:
            subtract_factor_product(self._L, panels, end, n, end + start, end + stop)

        run_blocks(extend_rows, n - end, _block_size(BLOCK_SIZE**2, multiple=BLOCK_SIZE))
        run_blocks(update_rows, n - end, _block_size(BLOCK_SIZE * n, multiple=BLOCK_SIZE))


def invert_symmetric(A: FloatArray) -> None:
    r"""Replace a symmetric positive definite matrix by its inverse; only the lower triangle is read.

    Each block of rows is swept (Goodnight 1979, A Tutorial on the SWEEP Operator): with the Cholesky factor
    :math:`L` of the square D of the block on the diagonal, and the rest of its rows, V,

    .. math:: D \to -L^{-T} L^{-1}, \qquad V \to L^{-T} Z, \qquad
        \text{all other elements} \to A - Z^T Z, \qquad Z = L^{-1} V

    which leaves minus the inverse after all blocks. The not yet swept part is the matrix that remains in a
    Cholesky factorization. In total :math:`n^3` operations, as LAPACK's potrf and potri, but nearly all of
    them in one product that all threads share.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite or not finite.
    """
    panel_width = _panel_width(A)
    buffers = np.empty((2, -(-len(A) // panel_width), SWEEP_SIZE, panel_width), A.dtype)
    for first in range(0, len(A), SWEEP_SIZE):
        _sweep(A, first, min(first + SWEEP_SIZE, len(A)), *buffers)
    run_blocks(partial(mirror_lower_triangle, A, -1.0), len(A), _block_size(len(A)))


def _sweep(A: FloatArray, first: int, end: int, V: FloatArray, Z: FloatArray) -> None:
    """Sweep rows first..end of A. V and Z are buffers of panels of `SWEEP_SIZE` rows, as wide as A."""
    square = np.eye(SWEEP_SIZE, dtype=A.dtype)
    square[: end - first, : end - first] = A[first:end, first:end]
    inverse = invert_cholesky_factor(square)
    transpose = np.ascontiguousarray(inverse.T)

    def compute_products(start: int, stop: int) -> None:
        pack_symmetric_rows(A, first, end, V, start, stop)
        multiply_by_triangle(inverse, True, V, Z, start, stop)

    def update_rows(start: int, stop: int) -> None:
        for rows in ((start, min(stop, first)), (max(start, end), stop)):
            for columns in ((0, first), (end, len(A))):
                subtract_factor_product(A, Z, *columns, *rows)

    def write_rows(start: int, stop: int) -> None:
        multiply_by_triangle(transpose, False, Z, V, start, stop)
        unpack_symmetric_rows(V, A, first, end, start, stop)

    panels_per_thread = _block_size(SWEEP_SIZE**2 * V.shape[2])
    run_blocks(compute_products, len(V), panels_per_thread)
    run_blocks(update_rows, len(A), _block_size(SWEEP_SIZE * len(A), multiple=BLOCK_SIZE))
    run_blocks(write_rows, len(V), panels_per_thread)


def orthonormalize_columns(A: Float32Array) -> Float32Array:
    """Return orthonormal columns with the same span as those of A; dependent columns become zeros."""
    rows = np.array(A.T, order="C")
    orthonormalize_rows(rows)
    return np.ascontiguousarray(rows.T)


def eigendecompose_symmetric(G: FloatArray) -> tuple[Float64Array, Float64Array]:
    """Return the eigenvalues of a symmetric matrix, in descending order, and its eigenvectors as columns."""
    values, vectors = G.astype(np.float64), np.eye(len(G))
    diagonalize(values, vectors)
    order = np.argsort(-values.diagonal(), kind="stable")
    return values.diagonal()[order], np.ascontiguousarray(vectors[order].T)


def _block_size(multiplications: int, *, multiple: int = 1) -> int:
    """Return the number of rows with enough work for a thread, for that many multiplications per row."""
    n_rows = -(-MIN_MULTIPLICATIONS // max(multiplications, 1))
    return n_rows + -n_rows % multiple


def _flatten(A: FloatArray) -> tuple[FloatArray, int, int]:
    """Return the elements of a matrix in memory order, and the steps from row to row and column to column."""
    if A.flags.f_contiguous:
        return A.T.reshape(-1), 1, len(A)
    return A.reshape(-1), A.shape[1], 1


def _panel_width(A: FloatArray) -> int:
    """Return the number of columns of a panel: two vectors."""
    return 2 * VECTOR_BYTES // A.itemsize
