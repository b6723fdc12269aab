"""Dense linear algebra whose results depend neither on the processor nor on the number of threads.

BLAS and LAPACK choose the order of their sums by processor, so their results differ in the last digits from
machine to machine. These functions take up to twice as long.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from marquee.algorithms.kernels.matrices import (
    diagonalise,
    extend_factor,
    factorise,
    invert_lower,
    mirror,
    multiply,
    orthonormalise,
    substitute,
    subtract_square,
)
from marquee.algorithms.kernels.vectors import VECTOR_BYTES
from marquee.algorithms.threads import run_blocks, thread_count
from marquee.arrays import Float32Array, Float64Array, FloatArray

ROWS = 256  # of a product that one thread computes at a time
BLOCK = 64  # columns of a Cholesky factor that are computed at once, and rows that one thread works on


def packed(B: FloatArray) -> FloatArray:
    """Copy a matrix (depth, n) into panels (n_panels, depth, lanes), padded with zeros."""
    (depth, n), lanes = B.shape, _lanes(B)
    n_panels = -(-n // lanes)
    padded = np.zeros((depth, n_panels * lanes), dtype=B.dtype)
    padded[:, :n] = B
    return np.ascontiguousarray(padded.reshape(depth, n_panels, lanes).swapaxes(0, 1))


def product(A: FloatArray, B: FloatArray) -> FloatArray:
    """Matrix product A B; both must have the same dtype, and A may be transposed."""
    panels, out = packed(B), np.empty((len(A), B.shape[1]), dtype=B.dtype)
    run_blocks(partial(multiply, *_flat(A), panels, out), len(A), ROWS)
    return out


def multiply_packed(A: FloatArray, panels: FloatArray, out: FloatArray) -> None:
    """Write A B into `out` with one thread, where B was `packed`."""
    multiply(*_flat(A), panels, out, 0, len(A))


def inverse_of_factor(A: Float64Array) -> Float64Array:
    """Inverse of the lower Cholesky factor L of A = L L'.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite, or has numbers that are not finite.
    """
    L, inverse = A.copy(), np.zeros_like(A)
    if not factorise(L, 0, len(L)):
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    invert_lower(L, inverse)
    return inverse


def padded_square(n: int) -> Float32Array:
    """Zeros with allocate for an (n, n) matrix, extended by an identity to a size that `Cholesky` can work on."""
    size = n + -n % (2 * VECTOR_BYTES // np.dtype(np.float32).itemsize)
    square = np.zeros((size, size), dtype=np.float32)
    square.reshape(-1)[n * (size + 1) :: size + 1] = 1
    return square


class Cholesky:
    """Cholesky factor L of a symmetric positive definite matrix A = L L', for solving many systems.

    Args:
        square: a `padded_square` that A was written into; only its lower triangle is read. It is overwritten.
        n: the size of A.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite, or has numbers that are not finite.
    """

    def __init__(self, square: Float32Array, n: int) -> None:
        self._L, self._n = square, n
        for first in range(0, len(square), BLOCK):
            self._factorise(first, min(first + BLOCK, len(square)))
        run_blocks(partial(mirror, square), len(square), BLOCK)

    def solve(self, V: Float32Array) -> Float32Array:
        """Multiply V, (n, n_columns), by the inverse of A."""
        panels = packed(np.pad(V, ((0, len(self._L) - self._n), (0, 0))))
        n_panels = len(panels)
        # One thread works on all panels at once, so that the factor is read only once.
        run_blocks(partial(substitute, self._L, panels), n_panels, n_panels if thread_count() == 1 else 1)
        return np.ascontiguousarray(panels.swapaxes(0, 1).reshape(len(self._L), -1)[: self._n, : V.shape[1]])

    def _factorise(self, first: int, end: int) -> None:
        """Compute some columns of the factor, and subtract their square from the rest of the matrix."""
        if not factorise(self._L, first, end):
            raise np.linalg.LinAlgError("the matrix is not positive definite")
        n, lanes = len(self._L), _lanes(self._L)
        panels = np.empty((n // lanes, end - first, lanes), self._L.dtype)

        def work(kernel: Callable[..., None]) -> Callable[[int, int], None]:
            return lambda start, stop: kernel(self._L, first, panels, end + start, end + stop)

        run_blocks(work(extend_factor), n - end, BLOCK)
        run_blocks(work(subtract_square), n - end, BLOCK)


def orthonormal(A: Float32Array) -> Float32Array:
    """Orthonormal columns with the span of those of A; zeros in place of dependent ones."""
    rows = np.array(A.T, order="C")
    orthonormalise(rows)
    return np.ascontiguousarray(rows.T)


def eigen(G: FloatArray) -> tuple[Float64Array, Float64Array]:
    """Eigenvalues of a symmetric matrix in descending order, and its eigenvectors as columns."""
    values, vectors = G.astype(np.float64), np.eye(len(G))
    diagonalise(values, vectors)
    order = np.argsort(-values.diagonal(), kind="stable")
    return values.diagonal()[order], np.ascontiguousarray(vectors[order].T)


def _flat(A: FloatArray) -> tuple[FloatArray, int, int]:
    """The elements of a matrix as they are in memory, and the steps to the next row and to the next column."""
    if A.flags.f_contiguous:
        return A.T.reshape(-1), 1, len(A)
    return A.reshape(-1), A.shape[1], 1


def _lanes(A: FloatArray) -> int:
    """Number of columns of a panel."""
    return 2 * VECTOR_BYTES // A.itemsize
