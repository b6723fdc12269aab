"""Room for what grows with the square of the items or users, or a line that says what it needs."""

import os
from contextlib import suppress
from typing import Any

import numpy as np

from marquee.errors import DataError


def room(shape: tuple[int, ...], dtype: str, what: str, remedy: str) -> Any:
    """An uninitialised array, if this machine has memory for it.

    Args:
        shape: its shape.
        dtype: its type.
        what: what needs it, as a person would say it.
        remedy: what to do where it does not fit.

    Raises:
        DataError: says how much memory it takes, and the remedy.
    """
    needed = float(np.prod(shape, dtype=np.float64)) * np.dtype(dtype).itemsize
    with suppress(MemoryError):
        if needed <= physical_memory():  # more would be granted, and the process killed on touching it
            return np.empty(shape, dtype=dtype)
    raise DataError(f"{what} take {needed / 1e9:,.1f} GB, more memory than there is: {remedy}")


def physical_memory() -> float:
    """Bytes of memory of this machine; infinite where it does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
