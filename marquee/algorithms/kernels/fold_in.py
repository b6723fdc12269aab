"""Kernel of fold-in: the vector of each user from a history, with the vectors of items fixed."""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.linear_algebra import cholesky_factorize, solve_in_place
from marquee.array_types import Float64Array, Int32Array, Int64Array


@kernel
def solve_user_systems(
    indptr: Int64Array,
    items: Int32Array,
    weights: Float64Array,
    targets: Float64Array,
    vectors: Float64Array,
    precision: Float64Array,
    linear: Float64Array,
    out: Float64Array,
    start: int,
    stop: int,
) -> None:
    """Write to out[u], for u in start..stop, the solution x of a regularized least-squares problem.

    (precision + sum of w v v') x = linear + sum of y v, where the sums run over the entries t of user u,
    `indptr[u]:indptr[u + 1]`, with v = vectors[items[t]], w = weights[t] and y = targets[t]. `precision` must
    be symmetric and positive definite, and the weights must not be negative.
    """
    n = len(linear)
    A = np.empty((n, n), np.float64)
    for u in range(start, stop):
        x = out[u]
        for i in range(n):  # an assignment of arrays would compile for seconds
            x[i] = linear[i]
            for j in range(i + 1):
                A[i, j] = precision[i, j]
        for t in range(indptr[u], indptr[u + 1]):
            v = vectors[items[t]]
            for i in range(n):
                row, factor = A[i], weights[t] * v[i]
                for j in range(i + 1):
                    row[j] += factor * v[j]
                x[i] += targets[t] * v[i]
        cholesky_factorize(A, 0, n)
        solve_in_place(A, x)
