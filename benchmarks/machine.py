"""Cores of this machine and memory of this process.

The environments of other libraries import this module too, so it needs only the standard library.
"""

import os
import platform
import resource
import sys
from pathlib import Path

from marquee.process_memory import peak_resident_bytes, resident_bytes

MEGABYTE = 1e6


def available_cores(limit: int) -> tuple[int, ...]:
    """Return up to `limit` of the cores that this process may use; empty if the system cannot list them."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[:limit])


def describe_machine() -> str:
    """Return number of cores, processor and Python version, for the heading of results."""
    n_cores = len(available_cores(os.cpu_count() or 1)) or os.cpu_count()
    return f"{n_cores} cores of {_processor_name()}, Python {platform.python_version()}"


def _processor_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def resident_mb() -> float:
    """Return the current resident memory of this process in MB (its peak on systems without /proc)."""
    return (resident_bytes() or _rusage_peak_bytes()) / MEGABYTE


def peak_resident_mb() -> float:
    """Return the peak of the resident memory of this process, in MB."""
    return (peak_resident_bytes() or _rusage_peak_bytes()) / MEGABYTE


def _rusage_peak_bytes() -> int:
    """Return the peak on systems without /proc; it includes the peak of the parent before the fork."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
