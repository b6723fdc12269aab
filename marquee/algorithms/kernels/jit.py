"""How kernels are compiled: cached on disk, without the GIL, and with sums that may be reordered.

Reordering lets the compiler add up in vector registers. It moves a sum by some units in its last
place (1e-16 of it), never by more; NaN and infinity keep their meaning, so divergence is seen.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

REORDERED = {"reassoc", "contract", "nsz", "arcp"}

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call with each set of types."""
    compiled: Callable[P, R] = njit(cache=True, nogil=True, fastmath=REORDERED, error_model="numpy")(function)
    return compiled


def exact_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As `kernel`, with every operation in the order in which it is written."""
    compiled: Callable[P, R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
