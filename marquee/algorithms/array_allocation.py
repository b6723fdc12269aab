"""Allocation of arrays whose size grows with the square of the number of items or users."""

import os
from contextlib import suppress
from typing import Any

import numpy as np

from marquee.errors import DataError


def allocate_within_memory(shape: tuple[int, ...], dtype: str, purpose: str, remedy: str) -> Any:
    """Return an uninitialized array, or raise an error if this machine has too little memory for it.

    Args:
        shape: shape of the array.
        dtype: data type of the array.
        purpose: subject of the error message, in the plural, such as "similarities of 9,000 users".
        remedy: advice at the end of the error message.

    Raises:
        DataError: the array is larger than the physical memory.
    """
    n_bytes = float(np.prod(shape, dtype=np.float64)) * np.dtype(dtype).itemsize
    with suppress(MemoryError):
        if n_bytes <= physical_memory_bytes():  # Linux grants more, but kills a process that uses it
            return np.empty(shape, dtype=dtype)
    raise DataError(f"{purpose} need {n_bytes / 1e9:,.1f} GB, more than this machine's memory; {remedy}")


def physical_memory_bytes() -> float:
    """Return the physical memory of this machine, or infinity if it is unknown."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
