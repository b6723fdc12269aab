"""Peak memory of a block of code."""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL
from dataclasses import dataclass

from marquee.process_memory import peak_resident_bytes, reset_peak, resident_bytes


@dataclass
class PeakMemory:
    """Peak growth of the process in bytes. None until the block ends, or if the system does not report it."""

    peak: int | None = None


@contextmanager
def measure_peak_memory() -> Iterator[PeakMemory]:
    """Measure how much this process grows within a block, including the work of its other threads."""
    memory = PeakMemory()
    before = _reset_peak()
    yield memory
    peak = peak_resident_bytes()
    if before is not None and peak is not None:
        memory.peak = max(0, peak - before)


def _reset_peak() -> int | None:
    """Reset the kernel's peak counter and return the resident bytes, or None if that is not supported.

    Freed memory is returned to the system first, because reusing it would not count as growth.
    """
    try:
        CDLL(None).malloc_trim(0)
    except AttributeError:  # a C library other than glibc
        return None
    return resident_bytes() if reset_peak() else None
