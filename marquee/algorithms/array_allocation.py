"""Allocation of arrays that grow with the square of the items or users."""

import os
from contextlib import suppress
from typing import Any

import numpy as np

from marquee.errors import DataError


def allocate(shape: tuple[int, ...], dtype: str, purpose: str, remedy: str) -> Any:
    """Return an uninitialized array, if this machine has enough memory for it.

    Args:
        shape: shape of the array.
        dtype: its data type.
        purpose: what the array is for; first words of the error message, in the plural.
        remedy: advice at the end of the error message.

    Raises:
        DataError: the array is larger than the physical memory.
    """
    n_bytes = float(np.prod(shape, dtype=np.float64)) * np.dtype(dtype).itemsize
    with suppress(MemoryError):
        if n_bytes <= physical_memory_bytes():  # Linux grants more, and kills the process when it is used
            return np.empty(shape, dtype=dtype)
    raise DataError(f"{purpose} need {n_bytes / 1e9:,.1f} GB, more than this machine's memory; {remedy}")


def physical_memory_bytes() -> float:
    """Return the physical memory of this machine, or infinity if it is unknown."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
