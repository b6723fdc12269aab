"""Memory of processes, as Linux reports it below /proc; imports the standard library alone."""

from pathlib import Path

PROC = Path("/proc")
KIB = 1024
RESET_PEAK = "5"  # what the kernel takes for it, see proc_pid_clear_refs(5)


def resident_bytes() -> int | None:
    """Resident memory of this process now; None where the system does not report it."""
    return _status("VmRSS")


def peak_resident_bytes() -> int | None:
    """Largest resident memory of this process, since its start or the last `reset_peak`; None as above.

    Unlike `getrusage`, it does not include what the parent process held before this one began.
    """
    return _status("VmHWM")


def reset_peak() -> bool:
    """Begin the peak anew at what is resident now; False where the system does not allow it."""
    try:
        (PROC / "self" / "clear_refs").write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def mapped_bytes(pid: int) -> dict[str, int]:
    """Totals over all mappings of a process, by the kernel's names: `Pss`, `Private_Dirty` and so on.

    Raises:
        OSError: there is no such process, or it is not ours to look at.
    """
    lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
    return _sizes(lines[1:])  # the first line names the range of addresses


def _status(field: str) -> int | None:
    try:
        text = (PROC / "self" / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return _sizes(text.splitlines()).get(field)


def _sizes(lines: list[str]) -> dict[str, int]:
    """The lines of the form `Name:  123 kB`, in bytes."""
    parts = (line.split() for line in lines if line.endswith(" kB"))
    return {part[0].removesuffix(":"): int(part[1]) * KIB for part in parts}
