"""Launcher of one process of the stack: `python -m service.stack.exec_launcher FOLDER NAME`.

The launcher records its pid and start time, redirects its output to the log, and replaces itself with the
program (exec). The recorded pid is therefore that of the program, and signals reach it directly.
"""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from service.gateway.haproxy_config import GatewayConfig, find_haproxy
from service.stack.pid_files import record_start, write_pid_file
from service.stack.stack_config import WATCHDOGS, StackConfig, load_stack_config, replica_environment

CODE_FOLDER = Path(__file__).parents[2]
STDOUT, STDERR = 1, 2  # file descriptors
REPLICA_PROGRAM = CODE_FOLDER / "deploy" / "container" / "serve.py"


def exec_program(folder: Path, name: str) -> NoReturn:
    """Replace this process with a program of the stack."""
    # Before the arms are read: if an arm changes after that, this process counts as older than the arm.
    started_at = time.time()
    stack = load_stack_config(folder)
    command, environment = _command_and_environment(stack, name)
    write_pid_file(folder, name, started_at)
    record_start(folder, name)
    _redirect_output(stack, name)
    os.execve(command[0], command, {**os.environ, **environment})


def open_log_descriptor(path: Path) -> int:
    """Open a log for appending, end an incomplete last line, and return the file descriptor.

    HAProxy clears O_APPEND on its output (it sets the flags to O_NONBLOCK alone), so the position must be at
    the end as well.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    os.set_inheritable(descriptor, True)
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        os.write(descriptor, b"\n")
    return descriptor


def _redirect_output(stack: StackConfig, name: str) -> None:
    """Send output to the log of the process, but what HAProxy prints to stdout to its failure log."""
    log = open_log_descriptor(stack.folder / "logs" / f"{name}.log")
    gateway = _find_gateway(stack, name)
    os.dup2(open_log_descriptor(gateway.failure_log_path(stack.folder)) if gateway else log, STDOUT)
    os.dup2(log, STDERR)


def _command_and_environment(stack: StackConfig, name: str) -> tuple[list[str], dict[str, str]]:
    """Return the command of a process and its additional environment variables."""
    if gateway := _find_gateway(stack, name):
        return [find_haproxy(), "-db", "-f", str(gateway.config_path(stack.folder))], {}
    if name in WATCHDOGS:
        return [sys.executable, "-m", "service.stack.hang_watchdog", str(stack.folder), name], {}
    if name == "controller":
        return [*stack.controller], {}
    return [sys.executable, str(REPLICA_PROGRAM)], replica_environment(stack, name)


def _find_gateway(stack: StackConfig, name: str) -> GatewayConfig | None:
    return next((gateway for gateway in stack.gateways if gateway.name == name), None)


if __name__ == "__main__":
    exec_program(Path(sys.argv[1]), sys.argv[2])
