"""Logarithms with the same bits on every processor.

NumPy and the C library choose instructions by processor (AVX-512, fused multiply-add), so the last bit of
their results differs between machines. These functions use only operations that IEEE 754 defines exactly.

The algorithm is that of `e_log.c` in fdlibm (Sun Microsystems, 1993): x = 2^k (1 + f), where 1 + f is between
the square roots of 1/2 and 2, and a polynomial in s = f / (2 + f).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from marquee.array_types import Float64Array, Int64Array

# The sum of both parts is ln 2; k times the high part is exact.
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
ROOT_HALF = 0.5**0.5


def log(x: npt.ArrayLike) -> Float64Array:
    """Return the natural logarithms of positive normal numbers, within one unit in the last place."""
    return np.asarray(log_of_fraction_and_exponent(*_parts(x)))


def log2(x: npt.ArrayLike) -> Float64Array:
    """Return the base-2 logarithms of positive normal numbers; those of powers of 2 are exact."""
    f, k = _parts(x)
    return np.asarray(k + log_of_fraction_and_exponent(f, 0) / (LN2_HIGH + LN2_LOW))


def log_of_fraction_and_exponent(f: Any, k: Any) -> Any:
    """Return the natural logarithm of 2^k (1 + f), for arrays or (in a kernel) scalars."""
    s, half_square = f / (2 + f), 0.5 * f * f
    z = s * s
    w = z * z
    even_terms = w * (
        3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)
    )
    odd_terms = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    polynomial = even_terms + z * (6.666666666666735130e-01 + w * odd_terms)
    return k * LN2_HIGH - ((half_square - (s * (half_square + polynomial) + k * LN2_LOW)) - f)


def _parts(x: npt.ArrayLike) -> tuple[Float64Array, Int64Array]:
    """Return f and k with x = 2^k (1 + f)."""
    mantissa, k = np.frexp(np.asarray(x, dtype=np.float64))
    is_small = mantissa < ROOT_HALF
    return np.where(is_small, 2 * mantissa, mantissa) - 1, k.astype(np.int64) - is_small
