"""PID files: the running processes of the stack, their start times, and how often each was started."""

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from service.stack.waiting import wait_until

START_TIME = re.compile(r"^\d+\.\d{3}$", re.MULTILINE)


class RunningProcess(NamedTuple):
    """A process of the stack that is alive."""

    pid: int
    started_at: float  # UTC seconds


def write_pid_file(folder: Path, name: str, started_at: float) -> None:
    """Record this process under a name, with its start time in UTC seconds."""
    (folder / "pids" / name).write_text(f"{os.getpid()} {started_at:.3f}\n", encoding="utf-8")


def find_process(folder: Path, name: str) -> RunningProcess | None:
    """Return the process recorded under a name, or None if it is not alive."""
    try:
        pid, started_at = (folder / "pids" / name).read_text(encoding="utf-8").split()
        recorded = RunningProcess(int(pid), float(started_at))
        process = psutil.Process(recorded.pid)
        # The system reuses pids: a process created after the record is another one.
        is_same = process.create_time() <= recorded.started_at + 1
        is_alive = is_same and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return recorded if is_alive else None


def find_processes(folder: Path) -> dict[str, int]:
    """Return the pids of all recorded processes that are alive, by name."""
    pids = folder / "pids"
    names = sorted(path.name for path in pids.iterdir()) if pids.exists() else []
    return {name: found.pid for name in names if (found := find_process(folder, name)) is not None}


def stop_all(folder: Path, timeout_s: float = 0.0) -> list[str]:
    """Terminate all recorded processes, kill those still alive after `timeout_s`, and return their names."""
    processes = find_processes(folder)
    _signal_all(folder, processes, signal.SIGTERM)
    wait_until(lambda: not any(find_process(folder, name) for name in processes), timeout_s)
    _signal_all(folder, processes, signal.SIGKILL)
    return list(processes)


def record_start(folder: Path, name: str) -> None:
    """Append the current time to the start times of a process."""
    with (folder / "starts" / name).open("a", encoding="utf-8") as starts:
        starts.write(f"\n{time.time():.3f}\n")  # on a new line: a full disk may have cut off the previous one


def count_starts(folder: Path, name: str, since: float) -> int:
    """Return how often a process was started after a time in UTC seconds."""
    try:
        text = (folder / "starts" / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return 0
    return sum(float(started_at) > since for started_at in START_TIME.findall(text))


def _signal_all(folder: Path, processes: dict[str, int], number: signal.Signals) -> None:
    for name, pid in processes.items():
        if find_process(folder, name) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
