"""Exponentials and powers with the same bits on every processor; see `marquee.logarithms` for the reason.

The algorithm is that of `e_exp.c` in fdlibm (Sun Microsystems, 1993): x = k ln 2 + r with |r| <= ln(2) / 2,
and a rational function of r.
"""

import numpy as np
import numpy.typing as npt

from marquee.array_types import Float64Array
from marquee.logarithms import LN2_HIGH, LN2_LOW, log

COEFFICIENTS = (
    4.13813679705723846039e-08,
    -1.65339022054652515390e-06,
    6.61375632143793436117e-05,
    -2.77777777770155933842e-03,
    1.66666666666666019037e-01,
)  # of r^10, r^8, ..., r^2


def exp(x: npt.ArrayLike) -> Float64Array:
    """Return the exponentials of numbers between -700 and 700, within one unit in the last place."""
    x = np.asarray(x, dtype=np.float64)
    k = np.rint(x / (LN2_HIGH + LN2_LOW))
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    square, polynomial = r * r, np.zeros_like(r)
    for coefficient in COEFFICIENTS:
        polynomial = square * (coefficient + polynomial)
    c = r - polynomial
    return np.asarray(np.ldexp(1 - ((low - r * c / (2 - c)) - high), k.astype(np.int32)))


def power(base: npt.ArrayLike, exponent: float) -> Float64Array:
    """Return powers of positive normal numbers, with a relative error of about 1e-14; exact for 0 and 1.

    >>> power([0.25, 4.0], 1.0).tolist()
    [0.25, 4.0]
    >>> float(abs(power([2.0], 0.5)[0] - 2**0.5)) < 1e-14
    True
    """
    if exponent in {0.0, 1.0}:
        return np.asarray(base, dtype=np.float64) ** exponent
    return exp(exponent * log(base))
