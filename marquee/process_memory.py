"""Memory of processes, read from /proc (Linux). Imports the standard library only."""

from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")
KIB = 1024
RESET_PEAK = "5"  # value to write to /proc/PID/clear_refs, see proc_pid_clear_refs(5)


def resident_bytes() -> int | None:
    """Return the resident memory of this process, or None without /proc."""
    return _status_bytes("VmRSS")


def peak_resident_bytes() -> int | None:
    """Return the peak resident memory of this process since its start or `reset_peak`, or None without /proc.

    Unlike `getrusage`, it excludes memory that the parent process held before the fork.
    """
    return _status_bytes("VmHWM")


def reset_peak() -> bool:
    """Reset the peak to the current resident memory; return False if the system does not allow it."""
    try:
        (PROC / "self" / "clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def read_memory_breakdown(pid: int) -> dict[str, int]:
    """Return the memory of a process in bytes by kind, such as `Pss`, each summed over all mappings.

    Raises:
        OSError: the process does not exist or belongs to another user.
    """
    lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
    return _parse_sizes(lines[1:])  # the first line is an address range


def _status_bytes(field: str) -> int | None:
    try:
        text = (PROC / "self" / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return _parse_sizes(text.splitlines()).get(field)


def _parse_sizes(lines: Sequence[str]) -> dict[str, int]:
    """Parse lines of the form `Name:  123 kB` into bytes; skip others."""
    parts = (line.split() for line in lines if line.endswith(" kB"))
    return {part[0].removesuffix(":"): int(part[1]) * KIB for part in parts}
