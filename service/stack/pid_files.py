"""PID files: record and find the processes of the stack, and count how often each was started."""

import os
import re
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from service.stack.waiting import wait_until

CLOCK_TOLERANCE_S = 1.0  # between the creation time of a process and the time it recorded
KILL_TIMEOUT_S = 5.0  # for killed processes to end
START_TIME = re.compile(r"^\d+\.\d{3}$", re.MULTILINE)


class RunningProcess(NamedTuple):
    """A process of the stack that is alive."""

    pid: int
    started_at: float  # UTC seconds


def write_pid_file(folder: Path, name: str, started_at: float) -> None:
    """Record the pid of this process under a name, with its start time in UTC seconds."""
    (folder / "pids" / name).write_text(f"{os.getpid()} {started_at:.3f}\n", encoding="utf-8")


def find_process(folder: Path, name: str) -> RunningProcess | None:
    """Return the process recorded under a name, or None if it is not alive."""
    try:
        pid, started_at = (folder / "pids" / name).read_text(encoding="utf-8").split()
        recorded = RunningProcess(int(pid), float(started_at))
        process = psutil.Process(recorded.pid)
        # The system reuses pids: a process created after the record is another one.
        is_same = process.create_time() <= recorded.started_at + CLOCK_TOLERANCE_S
        # The main thread of a killed process may end, and make it a zombie, before its other threads end.
        is_dead = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1
    except (OSError, ValueError, psutil.Error):
        return None
    return recorded if is_same and not is_dead else None


def find_pids(folder: Path) -> dict[str, int]:
    """Return the pids of all recorded processes that are alive, by name."""
    pids = folder / "pids"
    names = sorted(path.name for path in pids.iterdir()) if pids.exists() else []
    processes = {name: find_process(folder, name) for name in names}
    return {name: process.pid for name, process in processes.items() if process is not None}


def stop_all_processes(folder: Path, timeout_s: float = 0.0) -> list[str]:
    """Terminate all recorded processes, kill those still alive after `timeout_s`, and wait until they end.

    Returns:
        The names of the processes.
    """
    names = list(find_pids(folder))

    def have_ended() -> bool:
        return not any(find_process(folder, name) for name in names)

    _signal_all(folder, names, signal.SIGTERM)
    wait_until(have_ended, timeout_s)
    _signal_all(folder, names, signal.SIGKILL)
    wait_until(have_ended, KILL_TIMEOUT_S)  # until then, they may still occupy their ports
    return names


def record_start(folder: Path, name: str) -> None:
    """Append the current time to the recorded start times of a process."""
    with (folder / "starts" / name).open("a", encoding="utf-8") as starts:
        starts.write(f"\n{time.time():.3f}\n")  # on a new line: a full disk may have cut off the previous one


def count_starts(folder: Path, name: str, since: float) -> int:
    """Return how often a process was started after a time in UTC seconds."""
    try:
        text = (folder / "starts" / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return 0
    return sum(float(started_at) > since for started_at in START_TIME.findall(text))


def _signal_all(folder: Path, names: Iterable[str], number: signal.Signals) -> None:
    for name in names:
        process = find_process(folder, name)
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
