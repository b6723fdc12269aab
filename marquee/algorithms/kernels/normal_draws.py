"""Kernel of Marsaglia's polar method, which turns pairs of uniform numbers into pairs of normal numbers."""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float64Array
from marquee.logarithms import ROOT_HALF, log_of_fraction_and_exponent

FRACTION_BITS = 52  # of a float64
HALF_EXPONENT = 1022  # exponent bits of the float64 numbers in [1/2, 1)

_log_of_fraction_and_exponent = kernel(log_of_fraction_and_exponent)


@kernel
def transform_uniform_pairs(uniform: Float64Array, normal: Float64Array) -> int:
    """Write a pair of normal numbers for each pair in the unit disc; return the number of pairs.

    `uniform` and `normal` have shape (n_pairs, 2). The second coordinate comes first, as in NumPy's legacy
    generator.
    """
    n_pairs = 0
    for i in range(len(uniform)):
        x, y = 2.0 * uniform[i, 0] - 1.0, 2.0 * uniform[i, 1] - 1.0
        square = x * x + y * y
        if square < 1.0 and square != 0.0:
            factor = np.sqrt(-2.0 * _log(square) / square)
            normal[n_pairs, 0], normal[n_pairs, 1] = factor * y, factor * x
            n_pairs += 1
    return n_pairs


@kernel
def _log(x: float) -> Any:
    """Return the natural logarithm of a positive normal number, as `marquee.logarithms.log`."""
    bits = np.float64(x).view(np.int64)
    fraction = bits & ((1 << FRACTION_BITS) - 1)
    k = (bits >> FRACTION_BITS) - HALF_EXPONENT
    mantissa = np.int64(fraction | (HALF_EXPONENT << FRACTION_BITS)).view(np.float64)
    if mantissa < ROOT_HALF:
        mantissa, k = 2 * mantissa, k - 1
    return _log_of_fraction_and_exponent(mantissa - 1, k)
