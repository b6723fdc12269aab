"""Launch one process of the stack: `python -m service.stack.launch FOLDER NAME`.

The launcher records its pid and start time, redirects its output to the log, and replaces itself with the
program. The recorded pid is therefore that of the program, and signals reach it directly.
"""

import os
import sys
import time
from pathlib import Path

from service.gateway.config import find_haproxy
from service.stack.pid_files import record_start, write_pid_file
from service.stack.stack_config import WATCHDOGS, StackConfig, load_stack_config, replica_environment

CODE = Path(__file__).parents[2]
REPLICA_PROGRAM = CODE / "deploy" / "container" / "serve.py"


def launch(folder: Path, name: str) -> None:
    """Replace this process with a program of the stack; never returns."""
    started_at = (
        time.time()
    )  # before the arms are read, so that an arm changed later is newer than this process
    stack = load_stack_config(folder)
    command, environment = _program(stack, name)
    write_pid_file(folder, name, started_at)
    record_start(folder, name)
    log = open_log(folder / "logs" / f"{name}.log")
    failure_logs = {gateway.name: gateway.failure_log_path(folder) for gateway in stack.gateways}
    os.dup2(open_log(failure_logs[name]) if name in failure_logs else log, 1)
    os.dup2(log, 2)
    os.execve(command[0], command, {**os.environ, **environment})


def open_log(path: Path) -> int:
    """Open a log for appending, start a new line if the last one is incomplete, and return the descriptor.

    HAProxy clears O_APPEND on its output (it sets the flags to O_NONBLOCK alone), so the position is set to
    the end, too.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    os.set_inheritable(handle, True)
    end = os.lseek(handle, 0, os.SEEK_END)
    if end and os.pread(handle, 1, end - 1) != b"\n":
        os.write(handle, b"\n")
    return handle


def _program(stack: StackConfig, name: str) -> tuple[list[str], dict[str, str]]:
    """Return the command of a process and its additional environment variables."""
    for gateway in stack.gateways:
        if gateway.name == name:
            return [find_haproxy(), "-db", "-f", str(gateway.config_path(stack.folder))], {}
    if name in WATCHDOGS:
        return [sys.executable, "-m", "service.stack.watchdog", str(stack.folder), name], {}
    if name == "controller":
        return [*stack.controller], {}
    return [sys.executable, str(REPLICA_PROGRAM)], replica_environment(stack, name)


if __name__ == "__main__":
    launch(Path(sys.argv[1]), sys.argv[2])
