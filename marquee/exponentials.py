"""Exponentials with the same bits on every processor; see `marquee.logarithms`.

The algorithm is that of `e_exp.c` in fdlibm (Sun Microsystems, 1993): x = k ln 2 + r, and a rational function
of r.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from marquee.array_types import Float64Array
from marquee.logarithms import LN2_HIGH, LN2_LOW, log

MAX_EXPONENT = 700.0  # arguments are limited to this size, so that results are normal numbers


def exp(x: npt.ArrayLike) -> Float64Array:
    """Return e to the power of each x, within one unit in the last place, for |x| up to 700.

    >>> exp([0.0, -1.0]).round(15).tolist()
    [1.0, 0.367879441171442]
    """
    bounded = np.clip(np.asarray(x, dtype=np.float64), -MAX_EXPONENT, MAX_EXPONENT)
    k = np.rint(bounded / (LN2_HIGH + LN2_LOW))
    return np.asarray(np.ldexp(exp_of_remainder(bounded, k), k.astype(np.int64)))


def power(base: npt.ArrayLike, exponent: float) -> Float64Array:
    """Return positive numbers to the power of an exponent, as exp(exponent log(base)); exact for 0 and 1."""
    return np.asarray(base, dtype=np.float64) if exponent == 1 else exp(exponent * log(base))


def exp_of_remainder(x: Any, k: Any) -> Any:
    """Return e to the power of x - k ln 2, for arrays or (in a kernel) scalars; k rounds x / ln 2."""
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    t = r * r
    odd_terms = -1.65339022054652515390e-06 + t * 4.13813679705723846039e-08
    even_terms = -2.77777777770155933842e-03 + t * (6.61375632143793436117e-05 + t * odd_terms)
    c = r - t * (1.66666666666666019037e-01 + t * even_terms)
    return 1 - ((low - (r * c) / (2 - c)) - high)
