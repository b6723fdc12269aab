"""Kernel compilation: cached on disk, without the GIL, operations in the order in which they are written.

No flag lets the compiler reorder a sum or fuse a product with an addition, because what it would choose
depends on the processor. Long sums use `vectors`, which fixes the order and still fills the registers.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call with each set of types."""
    compiled: Callable[P, R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
