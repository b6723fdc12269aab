"""Kernel compilation: cached on disk, without the GIL, operations in the order of the source code.

The compiler may neither reorder a sum nor fuse a multiplication with an addition, because its choice would
depend on the processor. Long sums use `simd_vectors`, which fixes the order and still uses full registers.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that compiles a function on its first call with each combination of argument types."""
    compiled: Callable[P, R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
