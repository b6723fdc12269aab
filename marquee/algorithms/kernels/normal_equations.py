"""Normal equations of least squares: sums of products, and small systems solved side by side.

The products of a row are summed batch by batch. The systems of several rows are solved together, one in each
lane of a vector, so that the order of operations within a system does not depend on the rows beside it.

Side by side means that element e of the system in lane l is at `e * lanes + l`, and that a lower triangle is
stored row by row: element (i, j) is number i (i + 1) / 2 + j.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import (
    add,
    inverse_root,
    lanes_of,
    load,
    load_repeated,
    multiply,
    multiply_add,
    multiply_subtract,
    row_of,
    store,
    zeros,
)
from marquee.array_types import FloatArray

TILE_ROWS = 4  # rows of a tile of products
PANEL = 4  # columns of a Cholesky factor that are computed together


@kernel
def add_products(X: FloatArray, length: int, end: int, S: FloatArray) -> None:
    """Add the sum of z z' over the first `length` rows z of X to the lower triangle of S, up to row `end`.

    X must have a multiple of the lanes of a vector as columns. Columns right of the diagonal change, too.
    """
    lanes = lanes_of(X)
    for i in range(0, end, TILE_ROWS):
        width = (i + TILE_ROWS - 1) // lanes * lanes + lanes  # columns up to the diagonal
        for j in range(0, width - lanes, 2 * lanes):
            _add_wide_tile(X, length, i, j, S)
        if width // lanes % 2:
            _add_narrow_tile(X, length, i, width - lanes, S)


@kernel
def _add_wide_tile(X: FloatArray, length: int, i: int, j: int, S: FloatArray) -> None:
    """Add the sum of z z' over the first rows z of X to `TILE_ROWS` rows and two vectors of columns of S."""
    lanes = lanes_of(X)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zeros(X)
    for t in range(length):
        z = row_of(X, t)
        b0, b1 = load(z, j), load(z, j + lanes)
        a = load_repeated(z, i)
        s0, s1 = multiply_add(a, b0, s0), multiply_add(a, b1, s1)
        a = load_repeated(z, i + 1)
        s2, s3 = multiply_add(a, b0, s2), multiply_add(a, b1, s3)
        a = load_repeated(z, i + 2)
        s4, s5 = multiply_add(a, b0, s4), multiply_add(a, b1, s5)
        a = load_repeated(z, i + 3)
        s6, s7 = multiply_add(a, b0, s6), multiply_add(a, b1, s7)
    _add_two(row_of(S, i), j, s0, s1)
    _add_two(row_of(S, i + 1), j, s2, s3)
    _add_two(row_of(S, i + 2), j, s4, s5)
    _add_two(row_of(S, i + 3), j, s6, s7)


@kernel
def _add_narrow_tile(X: FloatArray, length: int, i: int, j: int, S: FloatArray) -> None:
    """As `_add_wide_tile`, for one vector of columns."""
    s0 = s1 = s2 = s3 = zeros(X)
    for t in range(length):
        z = row_of(X, t)
        b = load(z, j)
        s0, s1 = multiply_add(load_repeated(z, i), b, s0), multiply_add(load_repeated(z, i + 1), b, s1)
        s2, s3 = multiply_add(load_repeated(z, i + 2), b, s2), multiply_add(load_repeated(z, i + 3), b, s3)
    _add_one(row_of(S, i), j, s0)
    _add_one(row_of(S, i + 1), j, s1)
    _add_one(row_of(S, i + 2), j, s2)
    _add_one(row_of(S, i + 3), j, s3)


@kernel
def _add_two(row: Any, j: int, left: Any, right: Any) -> None:
    _add_one(row, j, left)
    _add_one(row, j + lanes_of(row), right)


@kernel
def _add_one(row: Any, j: int, vector: Any) -> None:
    store(row, j, add(load(row, j), vector))


@kernel
def factorize_systems(A: FloatArray, n: int) -> None:
    """Replace lower triangles of n rows by their Cholesky factors L, with 1 / L_ii on the diagonals.

    n must be a multiple of `PANEL`. A system that is not positive definite gets NaN.
    """
    lanes = lanes_of(A)
    panel = np.empty(n * PANEL * lanes, A.dtype)
    for j in range(0, n, PANEL):
        _factorize_panel(A, j, n, panel)
        for i in range(j + PANEL, n):
            row, x = i * (i + 1) // 2 * lanes, i * PANEL * lanes
            x0, x1 = load(panel, x), load(panel, x + lanes)
            x2, x3 = load(panel, x + 2 * lanes), load(panel, x + 3 * lanes)
            for k in range(j + PANEL, i + 1):
                at, y = row + k * lanes, k * PANEL * lanes
                s = multiply_subtract(x0, load(panel, y), load(A, at))
                s = multiply_subtract(x1, load(panel, y + lanes), s)
                s = multiply_subtract(x2, load(panel, y + 2 * lanes), s)
                store(A, at, multiply_subtract(x3, load(panel, y + 3 * lanes), s))


@kernel
def _factorize_panel(A: FloatArray, j: int, n: int, panel: FloatArray) -> None:
    """Compute columns j..j + `PANEL` of the factors, and copy them to `panel`, (n, PANEL, lanes)."""
    lanes = lanes_of(A)
    for i in range(j, n):
        row = (i * (i + 1) // 2 + j) * lanes
        for c in range(min(PANEL, i - j + 1)):
            diagonal = (j + c) * (j + c + 1) // 2 + j
            x = load(A, row + c * lanes)
            for k in range(c):
                x = multiply_subtract(load(A, row + k * lanes), load(A, (diagonal + k) * lanes), x)
            x = inverse_root(x) if i == j + c else multiply(x, load(A, (diagonal + c) * lanes))
            store(A, row + c * lanes, x)
            store(panel, (i * PANEL + c) * lanes, x)


@kernel
def solve_systems(L: FloatArray, h: FloatArray, n: int) -> None:
    """Replace right-hand sides h by the solutions of L L' x = h; L as `factorize_systems` leaves it."""
    lanes = lanes_of(L)
    for i in range(n):
        row = i * (i + 1) // 2 * lanes
        x = load(h, i * lanes)
        for k in range(0, i * lanes, lanes):
            x = multiply_subtract(load(L, row + k), load(h, k), x)
        store(h, i * lanes, multiply(x, load(L, row + i * lanes)))
    for i in range(n - 1, -1, -1):
        row, at = i * (i + 1) // 2 * lanes, i * lanes
        x = multiply(load(h, at), load(L, row + at))
        store(h, at, x)
        for k in range(0, at, lanes):
            store(h, k, multiply_subtract(load(L, row + k), x, load(h, k)))
