"""Watchdogs: kill processes that run but do not respond, so that the supervisor restarts them.

A supervisor detects only processes that exit. One that is stopped or hangs keeps its port; if it is a
gateway, every second connection still goes to it. Each watchdog sends health checks to gateways and replicas,
checks the heartbeats of the other processes, and rotates logs. Two watchdogs check each other, because a
watchdog that is stopped or hangs detects nothing.

    python -m service.stack.hang_watchdog FOLDER NAME
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from service import logs
from service.stack.health_checks import is_responding
from service.stack.log_rotation import rotate_large_logs
from service.stack.pid_files import RunningProcess, find_process
from service.stack.stack_config import WATCHDOGS, StackConfig, load_stack_config

CHECK_INTERVAL_S = 0.1
GATEWAY_TIMEOUT_S, REPLICA_TIMEOUT_S = 0.1, 0.5
# Consecutive failed checks. A replica is allowed more: it may be busy, and the others respond meanwhile.
MAX_GATEWAY_FAILURES, MAX_REPLICA_FAILURES = 3, 6
ROUNDS_PER_REPLICA_CHECK, ROUNDS_PER_LOG_ROTATION = 5, 50
MAX_STARTUP_S = 30.0  # until the first response
MAX_HEARTBEAT_AGE_S = {"controller": 30.0, **dict.fromkeys(WATCHDOGS, 1.0)}
MAX_FIRST_HEARTBEAT_S = {"controller": 30.0, **dict.fromkeys(WATCHDOGS, 3.0)}  # time from start to first one
log = logs.get_logger("watchdog")


class Watchdog:
    """Counts the failed health checks of each process and kills those that do not respond."""

    def __init__(self, stack: StackConfig, name: str) -> None:
        self._stack, self._name = stack, name
        self._failures: dict[str, int] = {}  # consecutive failures, by process name
        self._responded: dict[str, int] = {}  # pid of the last process of a name that responded
        self._gateway_ports = {gateway.name: gateway.metrics_port for gateway in stack.gateways}
        self._replica_ports = {replica.name: replica.port for replica in stack.all_replicas}
        self._pool = ThreadPoolExecutor(len(self._gateway_ports) + len(self._replica_ports))
        self._rounds = 0

    def run_checks(self) -> None:
        """Write this watchdog's heartbeat, and run the checks and log rotation that are due."""
        write_heartbeat(self._stack.folder, self._name)
        self._check_health(self._gateway_ports, GATEWAY_TIMEOUT_S, MAX_GATEWAY_FAILURES)
        if self._rounds % ROUNDS_PER_REPLICA_CHECK == 0:
            self._check_health(self._replica_ports, REPLICA_TIMEOUT_S, MAX_REPLICA_FAILURES)
        if self._rounds % ROUNDS_PER_LOG_ROTATION == 0:
            rotate_large_logs(self._stack)
        self._rounds += 1
        for other in self._stack.heartbeat_processes:
            if other != self._name:
                kill_if_heartbeat_is_old(self._stack.folder, other)

    def _check_health(self, ports: Mapping[str, int], timeout_s: float, max_failures: int) -> None:
        results = self._pool.map(lambda port: is_responding(port, timeout_s), ports.values())
        for name, has_responded in zip(ports, results, strict=True):
            process = find_process(self._stack.folder, name)
            if process is None:
                self._failures.pop(name, None)
            elif has_responded:
                self._failures[name] = 0
                self._responded[name] = process.pid
            else:
                self._count_failure(name, process, max_failures)

    def _count_failure(self, name: str, process: RunningProcess, max_failures: int) -> None:
        """Count a failed check; kill the process after too many of them, or if it takes too long to start."""
        self._failures[name] = self._failures.get(name, 0) + 1
        if self._responded.get(name) == process.pid:
            is_unresponsive = self._failures[name] >= max_failures
        else:
            is_unresponsive = time.time() > process.started_at + MAX_STARTUP_S
        if is_unresponsive:
            self._failures[name] = 0
            _kill(name, process.pid)


def kill_if_heartbeat_is_old(folder: Path, name: str) -> None:
    """Kill a process whose last heartbeat is too old, or that writes none in time after its start."""
    process = find_process(folder, name)
    if process is None:
        return
    last_heartbeat = read_heartbeat(folder, name)
    if last_heartbeat > process.started_at:
        deadline = last_heartbeat + MAX_HEARTBEAT_AGE_S[name]
    else:
        deadline = process.started_at + MAX_FIRST_HEARTBEAT_S[name]
    if time.time() > deadline:
        _kill(name, process.pid)


def write_heartbeat(folder: Path, name: str) -> None:
    """Record that the loop of this process is running."""
    (folder / "heartbeats" / name).touch()


def read_heartbeat(folder: Path, name: str) -> float:
    """Return the time of a process's last heartbeat in UTC seconds, or 0 if there is none."""
    try:
        return (folder / "heartbeats" / name).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _kill(name: str, pid: int) -> None:
    """Send SIGKILL: a process that is stopped or hangs does not react to SIGTERM."""
    log.error("killing unresponsive process", process=name, pid=pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _run(folder: Path, name: str) -> None:
    logs.configure(name)
    watchdog = Watchdog(load_stack_config(folder), name)
    while True:
        watchdog.run_checks()
        time.sleep(CHECK_INTERVAL_S)


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
