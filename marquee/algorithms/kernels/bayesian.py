"""The loops of Bayesian matrix factorisation: rows drawn from their normals, and sums over rating lists.

Rows of a factor matrix are padded to whole vectors of `LANES` numbers: k factors, then a one (it multiplies
the bias, so that factors and bias are one vector), then zeros. All floats are of single precision, for the
noise of a draw is a million times their rounding.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Indices, Integers, Scores

TOGETHER = 256  # ratings whose vectors are looked at in one go: they fit the first cache
LANES = 16  # sums run over whole vectors of so many numbers, zeros at the end


@kernel
def draw_rows(
    indptr: Indices,
    others: Integers,
    residuals: Scores,
    theirs: Scores,
    precision: Scores,
    linear: Scores,
    alpha: np.float32,
    noise: Scores,
    mean: Scores,
    drawn: Scores,
    errors: Scores,
    start: int,
    stop: int,
) -> None:
    """Draw the vectors t = (bias, factors) of rows start to stop, given those of the other side.

    With x = (1, the other's factors) and y the residual less the other's bias, t is normal with precision
    A = precision + alpha X'X and mean A^-1 (linear + alpha X'y). `mean` and `drawn` get the mean and a
    draw, `errors` each row's sum of squared errors y - x't at the draw. All tables are (n, n_dims).
    """
    n_dims = theirs.shape[1]
    A = np.empty((n_dims, n_dims), np.float32)
    L = np.zeros((n_dims + 3, (n_dims + LANES) // LANES * LANES), np.float32)
    X, y = np.zeros((n_dims + 3, TOGETHER), np.float32), np.zeros(TOGETHER, np.float32)
    h, e = np.empty(n_dims, np.float32), np.empty(n_dims, np.float32)
    for n in range(start, stop):
        for i in range(n_dims):  # whole arrays at once would take a second longer to compile
            h[i], e[i] = linear[n, i], noise[n, i]
            for j in range(n_dims):
                A[i, j] = precision[i, j]
        for first in range(indptr[n], indptr[n + 1], TOGETHER):
            length = min(TOGETHER, indptr[n + 1] - first)
            padded = (length + LANES - 1) // LANES * LANES
            for t in range(length):
                x = theirs[others[first + t]]
                y[t] = alpha * (residuals[first + t] - x[0])
                X[0, t] = 1
                for f in range(1, n_dims):
                    X[f, t] = x[f]
            y[length:padded] = 0
            X[:n_dims, length:padded] = 0
            _add_products(X, y, padded, alpha, A, h)
        _factorise(A, L)
        _solve(L, h, e)
        for f in range(n_dims):
            mean[n, f] = h[f]
            drawn[n, f] = h[f] + e[f]
        errors[n] = _squared_error(indptr[n], indptr[n + 1], others, residuals, theirs, drawn[n])


@kernel
def _add_products(X: Scores, y: Scores, length: int, alpha: np.float32, A: Scores, h: Scores) -> None:
    """A <- A + alpha X X' in the lower triangle (by fours: a little above it), h <- h + X y."""
    n_dims = len(h)
    for i in range(n_dims):
        x = X[i]
        for j in range(0, i + 1, 4):
            z0, z1, z2, z3 = X[j], X[j + 1], X[j + 2], X[j + 3]
            s0 = s1 = s2 = s3 = np.float32(0)
            for t in range(length):
                s0 += x[t] * z0[t]
                s1 += x[t] * z1[t]
                s2 += x[t] * z2[t]
                s3 += x[t] * z3[t]
            for d, s in enumerate((s0, s1, s2, s3)):
                if j + d <= i:
                    A[i, j + d] += alpha * s
        s = np.float32(0)
        for t in range(length):
            s += x[t] * y[t]
        h[i] += s


@kernel
def _factorise(A: Scores, L: Scores) -> None:
    """L <- the lower triangle with L L' = A. What is above the diagonal of L is zero, and stays so."""
    n_dims = len(A)
    L[:] = 0
    for j in range(n_dims):
        padded = (j + LANES - 1) // LANES * LANES
        z = L[j]
        for i in range(j, n_dims, 4):
            x0, x1, x2, x3 = L[i], L[i + 1], L[i + 2], L[i + 3]
            s0 = s1 = s2 = s3 = np.float32(0)
            for t in range(padded):
                s0 += z[t] * x0[t]
                s1 += z[t] * x1[t]
                s2 += z[t] * x2[t]
                s3 += z[t] * x3[t]
            for d, s in enumerate((s0, s1, s2, s3)):
                if i + d < n_dims:
                    A[i + d, j] -= s
        scale = np.float32(1) / np.sqrt(A[j, j])
        for i in range(j, n_dims):
            L[i, j] = A[i, j] * scale


@kernel
def _solve(L: Scores, h: Scores, e: Scores) -> None:
    """H <- L'^-1 L^-1 h, the mean, and e <- L'^-1 e, the noise."""
    n_dims = len(h)
    for i in range(n_dims):
        x, s = L[i], np.float32(0)
        for j in range(i):
            s += x[j] * h[j]
        h[i] = (h[i] - s) / x[i]
    for i in range(n_dims - 1, -1, -1):
        x = L[i]
        h[i] /= x[i]
        e[i] /= x[i]
        for j in range(i):
            h[j] -= x[j] * h[i]
            e[j] -= x[j] * e[i]


@kernel
def _squared_error(
    start: int, stop: int, others: Integers, residuals: Scores, theirs: Scores, ours: Scores
) -> np.float32:
    total = np.float32(0)
    for t in range(start, stop):
        x = theirs[others[t]]
        dot = np.float32(0)
        for f in range(1, len(ours)):
            dot += x[f] * ours[f]
        err = residuals[t] - x[0] - ours[0] - dot
        total += err * err
    return total


@kernel
def sum_rows(
    indptr: Indices, others: Integers, weights: Scores, table: Scores, out: Scores, start: int, stop: int
) -> None:
    """out[n] <- weights[n] times the sum of the table's rows that list n names, for n from start to stop."""
    for n in range(start, stop):
        o = out[n]
        o[:] = 0
        for t in range(indptr[n], indptr[n + 1]):
            row = table[others[t]]
            for f in range(len(o)):
                o[f] += row[f]
        for f in range(len(o)):
            o[f] *= weights[n]


@kernel
def co_occurrences(
    indptr: Indices,
    others: Integers,
    other_indptr: Indices,
    back: Integers,
    other_weights: Scores,
    out: Scores,
    start: int,
    stop: int,
) -> None:
    """out[a, b] <- the sum of `other_weights` over what lists a and b share, for a from start to stop.

    `back[other_indptr[o]:other_indptr[o + 1]]` are the lists that name o.
    """
    for a in range(start, stop):
        row = out[a]
        for t in range(indptr[a], indptr[a + 1]):
            o = others[t]
            weight = other_weights[o]
            for s in range(other_indptr[o], other_indptr[o + 1]):
                row[back[s]] += weight
