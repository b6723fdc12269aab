"""How much memory a piece of work takes at its highest."""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL
from dataclasses import dataclass

from marquee.process_memory import peak_resident_bytes, reset_peak, resident_bytes


@dataclass
class Footprint:
    """Bytes by which this process grew at its highest; None where the system does not tell, or until then."""

    peak: int | None = None


@contextmanager
def footprint() -> Iterator[Footprint]:
    """Watch this block. Whatever else the process does meanwhile is counted too."""
    told = Footprint()
    before = _after_reset()
    yield told
    peak = peak_resident_bytes()
    if before is not None and peak is not None:
        told.peak = max(0, peak - before)


def _after_reset() -> int | None:
    """Forget the peak so far; the bytes that are resident now, or None where the kernel has no such thing.

    What was freed before goes back to the system first, for to take it again would not show.
    """
    try:
        CDLL(None).malloc_trim(0)
    except AttributeError:  # a C library other than glibc
        return None
    return resident_bytes() if reset_peak() else None
