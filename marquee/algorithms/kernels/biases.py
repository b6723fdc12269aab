"""Kernels of user and item biases: least squares for one side, and an epoch of SGD for both."""

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array


@kernel
def solve_biases(
    indptr: Int64Array,
    others: Int32Array,
    values: Float64Array,
    start: int,
    stop: int,
    mean: float,
    reg: float,
    other_biases: FloatArray,
    out: FloatArray,
) -> None:
    """Set the biases of rows start..stop to their regularized least-squares solution, given `other_biases`.

    Residuals are added one by one: vector registers need gather instructions, which took three times as long.
    """
    for g in range(start, stop):
        residuals = 0.0
        for t in range(indptr[g], indptr[g + 1]):
            residuals += values[t] - mean - other_biases[others[t]]
        out[g] = residuals / (reg + (indptr[g + 1] - indptr[g]))


@kernel
def run_bias_sgd_epoch(
    indptr: Int64Array,
    items: Int32Array,
    values: Float64Array,
    mean: float,
    rate: float,
    decay: float,
    bu: FloatArray,
    bi: FloatArray,
) -> float:
    """Update the biases at every rating, user by user; return the sum of squared errors before the updates.

    An update is b <- decay b + rate e, with decay = 1 - rate * regularization.
    """
    total = 0.0
    for u in range(len(indptr) - 1):
        b = bu[u]
        for t in range(indptr[u], indptr[u + 1]):
            i = items[t]
            err = values[t] - mean - bi[i] - b
            total += err * err
            b = decay * b + rate * err
            bi[i] = decay * bi[i] + rate * err
        bu[u] = b
    return total
