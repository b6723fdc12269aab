"""How much memory a piece of work takes at its highest."""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
KIB = 1024


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
    if before is not None:
        told.peak = max(0, _status("VmHWM") - before)


def _after_reset() -> int | None:
    """Forget the peak so far; the bytes that are resident now, or None where the kernel has no such thing.

    What was freed before goes back to the system first, for to take it again would not show.
    """
    try:
        CDLL(None).malloc_trim(0)
        REFERENCES.write_text(RESET_PEAK, encoding="ascii")
        return _status("VmRSS")
    except (OSError, LookupError, AttributeError):
        return None


def _status(key: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return int(told[key].split()[0]) * KIB
