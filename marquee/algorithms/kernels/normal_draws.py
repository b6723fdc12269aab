"""Kernel of Marsaglia's polar method: pairs of normal numbers from pairs of uniform ones."""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Float64Array
from marquee.logarithms import ROOT_HALF, log_of_parts

FRACTION_BITS, EXPONENT = 52, 1022  # of float64; that of numbers from 1/2 to 1

_log_of_parts = kernel(log_of_parts)


@kernel
def draw_pairs(uniform: Float64Array, normal: Float64Array) -> int:
    """Write a pair of normal numbers for each pair of uniform ones in the unit disc; return how many pairs.

    The second coordinate comes first, as in NumPy's legacy generator.
    """
    n = 0
    for i in range(len(uniform)):
        x, y = 2.0 * uniform[i, 0] - 1.0, 2.0 * uniform[i, 1] - 1.0
        square = x * x + y * y
        if square < 1.0 and square != 0.0:
            factor = np.sqrt(-2.0 * _log(square) / square)
            normal[n, 0], normal[n, 1] = factor * y, factor * x
            n += 1
    return n


@kernel
def _log(x: float) -> Any:
    """Natural logarithm of a positive normal number."""
    bits = np.float64(x).view(np.int64)
    fraction = bits & ((1 << FRACTION_BITS) - 1)
    k = (bits >> FRACTION_BITS) - EXPONENT
    mantissa = np.int64(fraction | (EXPONENT << FRACTION_BITS)).view(np.float64)
    if mantissa < ROOT_HALF:
        mantissa, k = 2 * mantissa, k - 1
    return _log_of_parts(mantissa - 1, k)
