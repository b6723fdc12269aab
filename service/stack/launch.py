"""Become one process of the stack: `python -m service.stack.launch FOLDER NAME`.

It notes its pid and that it started, sends its output to its log, and becomes the program: whoever looks for
the process by its pid finds the program itself, and a signal reaches it and nobody else.
"""

import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from service.gateway.config import haproxy
from service.stack.stack_config import WARDENS, Stack, load_stack, settings_for
from service.stack.waiting import wait_until

WRITTEN = re.compile(r"^\d+\.\d{3}$", re.MULTILINE)
CODE = Path(__file__).parents[2]
WORKER = CODE / "deploy" / "container" / "serve.py"


def launch(folder: Path, name: str) -> None:
    """Never returns."""
    began = time.time()  # before the arms are read: whoever changes them later knows that we have not seen it
    stack = load_stack(folder)
    command, environment = _program(stack, name)
    (folder / "pids" / name).write_text(f"{os.getpid()} {began:.3f}\n", encoding="utf-8")
    with (folder / "starts" / name).open("a", encoding="utf-8") as starts:
        starts.write(f"\n{time.time():.3f}\n")  # behind what a full disk may have cut off
    output = _append(folder / "logs" / f"{name}.log")
    gateways = {gateway.name: gateway for gateway in stack.gateways}
    os.dup2(_append(gateways[name].failures(folder)) if name in gateways else output, 1)
    os.dup2(output, 2)
    os.execve(command[0], command, {**os.environ, **environment})


def _program(stack: Stack, name: str) -> tuple[list[str], dict[str, str]]:
    for gateway in stack.gateways:
        if gateway.name == name:
            return [haproxy(), "-db", "-f", str(gateway.configuration(stack.folder))], {}
    if name in WARDENS:
        return [sys.executable, "-m", "service.stack.watchdog", str(stack.folder), name], {}
    if name == "controller":
        return [*stack.controller], {}
    return [sys.executable, str(WORKER)], settings_for(stack, name)


def _append(path: Path) -> int:
    """Open at the end, behind half a line that was left there.

    HAProxy takes O_APPEND away from what it writes to (it sets O_NONBLOCK and nothing else), so the end has
    to be looked up.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    os.set_inheritable(handle, True)
    end = os.lseek(handle, 0, os.SEEK_END)
    if end and os.pread(handle, 1, end - 1) != b"\n":
        os.write(handle, b"\n")
    return handle


def pid_of(folder: Path, name: str) -> tuple[int, float] | None:
    """The pid that a process noted, and when; None where it is not alive any more."""
    try:
        pid, since = (folder / "pids" / name).read_text(encoding="utf-8").split()
        process = psutil.Process(int(pid))
        # A pid is given again one day: what began after the note is somebody else.
        ours = process.create_time() <= float(since) + 1 and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return (int(pid), float(since)) if ours else None


def living(folder: Path) -> dict[str, int]:
    """Every process that noted its pid and is alive, by name."""
    notes = folder / "pids"
    names = sorted(note.name for note in notes.iterdir()) if notes.exists() else []
    return {name: noted[0] for name in names if (noted := pid_of(folder, name)) is not None}


def end_all(folder: Path, patience_s: float = 0.0) -> list[str]:
    """End every process that noted its pid, and give it so long before it is killed; their names."""
    found = living(folder)
    for stop in (signal.SIGTERM, signal.SIGKILL):
        for name, pid in found.items():
            if pid_of(folder, name) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, stop)
        if stop == signal.SIGTERM:
            wait_until(lambda: not any(pid_of(folder, name) for name in found), patience_s)
    return list(found)


def starts_since(folder: Path, name: str, since: float) -> int:
    """How often a process was started after a time in UTC seconds."""
    try:
        text = (folder / "starts" / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return 0
    return sum(float(time) > since for time in WRITTEN.findall(text))


if __name__ == "__main__":
    launch(Path(sys.argv[1]), sys.argv[2])
