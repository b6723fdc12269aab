"""Kernels of the blend: standardized scores of each user, added with a weight."""

from math import sqrt

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float64Array
from marquee.model.scorers.blend import MIN_RELATIVE_DEVIATION


@kernel
def add_standardized_rows(
    scores: Float64Array, weight: float, out: Float64Array, start: int, stop: int
) -> None:
    """Add to rows start..stop of `out` the rows of `scores`, shifted and scaled to mean 0 and variance 1.

    A row of scores that are equal apart from rounding errors orders no items, and adds nothing.
    """
    n = scores.shape[1]
    for u in range(start, stop):
        total = 0.0
        for i in range(n):
            total += scores[u, i]
        mean = total / n
        squares = largest = 0.0
        for i in range(n):
            squares += (scores[u, i] - mean) ** 2
            largest = max(largest, abs(scores[u, i]))
        deviation = sqrt(squares / n)
        if deviation > MIN_RELATIVE_DEVIATION * largest:
            factor = weight / deviation
            for i in range(n):
                out[u, i] += factor * (scores[u, i] - mean)
