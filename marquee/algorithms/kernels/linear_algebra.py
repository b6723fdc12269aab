"""Dense linear algebra in a fixed order of operations: products, Cholesky factors, eigenvectors.

The right factor of a product is packed into panels as wide as two vectors, (n_panels, depth, panel_width), so
that a tile of `TILE_ROWS` rows and one panel is accumulated in registers. Each element of a product is the
sum of the sums over blocks of `BLOCK_DEPTH`, independent of the tiles: it depends neither on the rows that
are computed together nor on the processor.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.prefetch import prefetch_number
from marquee.algorithms.kernels.simd_vectors import (
    dot,
    lanes_of,
    load,
    load_repeated,
    multiply_add,
    number,
    repeat,
    row_of,
    store,
    zeros,
)
from marquee.array_types import Float32Array, Float64Array, FloatArray

TILE_ROWS = 4  # rows of a tile
BLOCK_DEPTH = 256  # rows of a panel that are summed in one block: they stay in the L1 cache
MIRROR_COLUMNS = 64  # columns mirrored at a time: the cache lines of their transpose stay in the L1 cache
MAX_SWEEPS = 30  # sweeps of Jacobi rotations; ten are enough for a hundred columns
EPSILON = 2.0**-52  # of float64
NEGLIGIBLE = 1e-10  # share of a vector's squared length; a smaller remainder is rounding error


@kernel
def multiply(
    A: FloatArray, row_step: int, column_step: int, panels: FloatArray, out: FloatArray, start: int, stop: int
) -> None:
    """Compute rows start..stop of A B, where B was packed into `panels`.

    Element (i, k) of A is `A[i * row_step + k * column_step]`, so that A may be transposed.
    """
    n_panels, depth, panel_width = panels.shape
    scratch = np.empty((TILE_ROWS, panel_width), out.dtype)
    tile_end = stop - (stop - start) % TILE_ROWS
    if depth == 0:
        out[start:stop] = 0
    for first in range(0, depth, BLOCK_DEPTH):
        end, accumulate = min(first + BLOCK_DEPTH, depth), first > 0
        for p in range(n_panels):
            B, column = panels[p], p * panel_width
            width = min(panel_width, out.shape[1] - column)
            for i in range(start, tile_end, TILE_ROWS):
                at = i * row_step
                if width == panel_width:
                    _set_tile(A, at, row_step, column_step, B, first, end, accumulate, 1.0, out, i, column)
                    continue
                _set_tile(A, at, row_step, column_step, B, first, end, False, 1.0, scratch, 0, 0)
                for r in range(TILE_ROWS):
                    for c in range(width):
                        out[i + r, column + c] = (out[i + r, column + c] if accumulate else 0) + scratch[r, c]
            for i in range(tile_end, stop):
                for c in range(width):
                    s = out.dtype.type(0)
                    for k in range(first, end):
                        s += number(A, i * row_step + k * column_step) * B[k, c]
                    out[i, column + c] = (out[i, column + c] if accumulate else 0) + s


@kernel
def _set_tile(
    A: FloatArray,
    at: int,
    row_step: int,
    column_step: int,
    B: FloatArray,
    first: int,
    end: int,
    accumulate: bool,
    sign: float,
    out: FloatArray,
    row: int,
    column: int,
) -> None:
    """Write a tile of `out`: `TILE_ROWS` rows of A, from element A[at] on, times B, summed over first..end.

    The product is multiplied by `sign`, 1 or -1; if `accumulate`, it is added to the previous content of the
    tile.
    """
    lanes = lanes_of(out)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zeros(out)
    for k in range(first, end):
        b, x = row_of(B, k), at + k * column_step
        b0, b1 = load(b, 0), load(b, lanes)
        a = load_repeated(A, x)
        s0, s1 = multiply_add(a, b0, s0), multiply_add(a, b1, s1)
        a = load_repeated(A, x + row_step)
        s2, s3 = multiply_add(a, b0, s2), multiply_add(a, b1, s3)
        a = load_repeated(A, x + 2 * row_step)
        s4, s5 = multiply_add(a, b0, s4), multiply_add(a, b1, s5)
        a = load_repeated(A, x + 3 * row_step)
        s6, s7 = multiply_add(a, b0, s6), multiply_add(a, b1, s7)
    factor = repeat(out.dtype.type(sign))
    _set_pair(row_of(out, row), column, accumulate, factor, s0, s1)
    _set_pair(row_of(out, row + 1), column, accumulate, factor, s2, s3)
    _set_pair(row_of(out, row + 2), column, accumulate, factor, s4, s5)
    _set_pair(row_of(out, row + 3), column, accumulate, factor, s6, s7)


@kernel
def _set_pair(row: Any, column: int, accumulate: bool, factor: Any, s0: Any, s1: Any) -> None:
    """Write or, if `accumulate`, add two vectors times `factor` to a row, from `column` on."""
    lanes = lanes_of(row)
    before0 = load(row, column) if accumulate else zeros(row)
    before1 = load(row, column + lanes) if accumulate else zeros(row)
    store(row, column, multiply_add(factor, s0, before0))
    store(row, column + lanes, multiply_add(factor, s1, before1))


@kernel
def cholesky_factorize(A: FloatArray, first: int, end: int) -> bool:
    """Replace the lower triangle of the square first..end on the diagonal of A by its Cholesky factor.

    Returns False if the square is not positive definite or not finite.
    """
    column = np.empty(end, A.dtype)
    for j in range(first, end):
        if not A[j, j] > 0:
            return False
        A[j, j] = np.sqrt(A[j, j])
        for i in range(j + 1, end):
            column[i] = A[i, j] = A[i, j] / A[j, j]
        for i in range(j + 1, end):
            row, factor = A[i], column[i]
            for k in range(j + 1, i + 1):
                row[k] -= factor * column[k]
    return True


@kernel
def solve_in_place(L: FloatArray, x: FloatArray) -> None:
    """Replace x by the solution of L L' y = x."""
    for i in range(len(x)):
        for j in range(i):
            x[i] -= L[i, j] * x[j]
        x[i] /= L[i, i]
    for i in range(len(x) - 1, -1, -1):
        for j in range(i + 1, len(x)):
            x[i] -= L[j, i] * x[j]
        x[i] /= L[i, i]


@kernel
def extend_cholesky_factor(A: FloatArray, first: int, panels: FloatArray, start: int, stop: int) -> None:
    """Compute rows start..stop of some columns of the Cholesky factor, given their square on the diagonal.

    The columns start at `first`. They are also written to `panels`, (n_panels, n_columns, panel_width), each
    row to one column of a panel. All bounds must be multiples of the panel width.
    """
    panel_width = panels.shape[2]
    for p in range(start // panel_width, stop // panel_width):
        X, row = panels[p], p * panel_width
        for c in range(panel_width):
            for k in range(len(X)):
                X[k, c] = A[row + c, first + k]
        _substitute_forward(A, first, panels, p, p + 1)
        for c in range(panel_width):
            for k in range(len(X)):
                A[row + c, first + k] = X[k, c]


@kernel
def subtract_factor_product(
    A: FloatArray, panels: FloatArray, first_column: int, end_column: int, start: int, stop: int
) -> None:
    """Subtract Z Z' from the lower triangle of A, in rows start..stop and columns first_column..end_column.

    `panels` holds Z, each row in one column of a panel, as packed by `extend_cholesky_factor`.
    `first_column` and `start` must be multiples of the panel width. In the rows of the last tiles, numbers
    above the diagonal change, too.
    """
    n, (depth, panel_width), flat = len(A), panels.shape[1:], panels.reshape(-1)
    scratch = np.empty((TILE_ROWS, panel_width), A.dtype)
    for column in range(first_column, min(end_column, stop), panel_width):
        B = panels[column // panel_width]
        for i in range(max(start, column), stop, TILE_ROWS):
            at = i // panel_width * depth * panel_width + i % panel_width
            if i + 2 * TILE_ROWS <= stop:  # the next tile is on its way while this one is computed
                for r in range(i + TILE_ROWS, i + 2 * TILE_ROWS):
                    prefetch_number(A, r, column)
                    prefetch_number(A, r, min(column + panel_width, n) - 1)
            if i + TILE_ROWS <= n and column + panel_width <= n:
                _set_tile(flat, at, 1, panel_width, B, 0, depth, True, -1.0, A, i, column)
                continue
            _set_tile(flat, at, 1, panel_width, B, 0, depth, False, 1.0, scratch, 0, 0)
            for r in range(min(TILE_ROWS, n - i)):
                for c in range(min(panel_width, n - column)):
                    A[i + r, column + c] -= scratch[r, c]


@kernel
def pack_symmetric_rows(
    A: FloatArray, first: int, end: int, panels: FloatArray, start: int, stop: int
) -> None:
    """Copy rows first..end of a symmetric matrix to panels start..stop, and minus the identity to its square.

    Only the lower triangle of A is read. Row r is copied to row r - first of each panel, and the remaining
    rows of the panels become zero. `first` must be a multiple of the panel width.
    """
    n, panel_width = len(A), panels.shape[2]
    for p in range(start, stop):
        X, column = panels[p], p * panel_width
        X[:] = 0
        for c in range(min(panel_width, n - column)):
            if column >= end:
                for k in range(end - first):
                    X[k, c] = A[column + c, first + k]
            elif column >= first:
                X[column + c - first, c] = -1
            else:
                for k in range(end - first):
                    X[k, c] = A[first + k, column + c]


@kernel
def unpack_symmetric_rows(
    panels: FloatArray, A: FloatArray, first: int, end: int, start: int, stop: int
) -> None:
    """Copy panels start..stop to rows first..end of a symmetric matrix.

    Only its lower triangle is written, and the entire square on the diagonal.
    """
    n, panel_width = len(A), panels.shape[2]
    for p in range(start, stop):
        X, column = panels[p], p * panel_width
        for c in range(min(panel_width, n - column)):
            for k in range(end - first):
                if column >= end:
                    A[column + c, first + k] = X[k, c]
                else:
                    A[first + k, column + c] = X[k, c]


@kernel
def multiply_by_triangle(
    T: FloatArray, is_lower: bool, panels: FloatArray, out: FloatArray, start: int, stop: int
) -> None:
    """Write the products of a lower or upper triangular matrix and panels start..stop to `out`.

    len(T) must be a multiple of `TILE_ROWS`.
    """
    n, flat = len(T), T.reshape(-1)
    for p in range(start, stop):
        for i in range(0, n, TILE_ROWS):
            first, end = (0, i + TILE_ROWS) if is_lower else (i, n)
            _set_tile(flat, i * n, n, 1, panels[p], first, end, False, 1.0, out[p], i, 0)


@kernel
def mirror_lower_triangle(A: FloatArray, sign: float, start: int, stop: int) -> None:
    """Multiply rows start..stop of the lower triangle by 1 or -1, and copy them to the upper one."""
    factor = A.dtype.type(sign)
    for first in range(0, stop, MIRROR_COLUMNS):
        for i in range(max(start, first), stop):
            for j in range(first, min(first + MIRROR_COLUMNS, i + 1)):
                A[i, j] *= factor
                A[j, i] = A[i, j]


@kernel
def solve_with_factor(L: FloatArray, panels: FloatArray, start: int, stop: int) -> None:
    """Multiply panels start..stop by (L L')^-1, in place.

    The upper triangle of L must hold L', and len(L) must be a multiple of `TILE_ROWS`.
    """
    n, flat = len(L), L.reshape(-1)
    _substitute_forward(L, 0, panels, start, stop)
    for i in range(n - TILE_ROWS, -1, -TILE_ROWS):
        for p in range(start, stop):
            X = panels[p]
            _set_tile(flat, i * n, n, 1, X, i + TILE_ROWS, n, True, -1.0, X, i, 0)
            for r in range(i + TILE_ROWS - 1, i - 1, -1):
                for k in range(r + 1, i + TILE_ROWS):
                    _subtract_multiple(X[k], L[r, k], X[r])
                _divide(X[r], L[r, r])


@kernel
def _substitute_forward(L: FloatArray, first: int, panels: FloatArray, start: int, stop: int) -> None:
    """Multiply panels start..stop by the inverse of the diagonal block of L that starts at `first`.

    All panels advance together, so that each row of L is read from memory only once.
    """
    n, flat = len(L), L.reshape(-1)
    for i in range(0, panels.shape[1], TILE_ROWS):
        for p in range(start, stop):
            X = panels[p]
            _set_tile(flat, (first + i) * n + first, n, 1, X, 0, i, True, -1.0, X, i, 0)
            for r in range(i, i + TILE_ROWS):
                for k in range(i, r):
                    _subtract_multiple(X[k], L[first + r, first + k], X[r])
                _divide(X[r], L[first + r, first + r])


@kernel
def _subtract_multiple(row: FloatArray, factor: float, out: FloatArray) -> None:
    """Subtract `factor` times a row from `out`."""
    for f in range(len(out)):
        out[f] -= factor * row[f]


@kernel
def _divide(row: FloatArray, divisor: float) -> None:
    for f in range(len(row)):
        row[f] /= divisor


@kernel
def invert_lower_triangular(L: FloatArray, out: FloatArray) -> None:
    """Write the inverse of a lower triangular matrix to `out`, which must be zero."""
    for i in range(len(L)):
        row = out[i]
        row[i] = 1
        for k in range(i):
            _subtract_multiple(out[k, : k + 1], L[i, k], row[: k + 1])
        _divide(row[: i + 1], L[i, i])


@kernel
def orthonormalize_rows(rows: Float32Array) -> None:
    """Replace rows by orthonormal rows with the same span, by the modified Gram-Schmidt process.

    Each row is orthogonalized twice, for precision. A row that depends on those before it becomes zero.
    """
    for j in range(len(rows)):
        row, n = rows[j], rows.shape[1]
        squared_length = dot(row, row, n)
        for _ in range(2):
            for i in range(j):
                _subtract_multiple(rows[i], dot(rows[i], row, n), row)
        remaining = dot(row, row, n)
        if remaining > squared_length * NEGLIGIBLE:
            _divide(row, np.sqrt(remaining))
        else:
            row[:] = 0


@kernel
def diagonalize(G: Float64Array, V: Float64Array) -> None:
    """Diagonalize a symmetric matrix in place, and turn V, the identity, into its eigenvectors.

    Row i of V becomes the eigenvector of eigenvalue i. Cyclic Jacobi rotations: Golub and Van Loan (2013),
    Matrix Computations, algorithm 8.5.3.
    """
    n = len(G)
    for _ in range(MAX_SWEEPS):
        converged = True
        for p in range(n - 1):
            for q in range(p + 1, n):
                g = G[p, q]
                if not abs(g) > EPSILON * np.sqrt(abs(G[p, p] * G[q, q])):
                    continue
                converged = False
                tau = (G[q, q] - G[p, p]) / (2 * g)
                t = (1.0 if tau >= 0 else -1.0) / (abs(tau) + np.sqrt(1 + tau * tau))
                cosine = 1 / np.sqrt(1 + t * t)
                sine = t * cosine
                _rotate(G[p], G[q], cosine, sine)
                _rotate(G[:, p], G[:, q], cosine, sine)
                _rotate(V[p], V[q], cosine, sine)
        if converged:
            return


@kernel
def _rotate(x: Float64Array, y: Float64Array, cosine: float, sine: float) -> None:
    for f in range(len(x)):
        a, b = x[f], y[f]
        x[f] = cosine * a - sine * b
        y[f] = sine * a + cosine * b
