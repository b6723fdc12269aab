"""Supervisor: starts all processes of the stack with circus, and restarts those that exit.

python -m service.stack.circus_supervisor FOLDER     run the supervisor
SupervisorClient(folder)                      start it, or send commands to a running one
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from circus import util
from circus.arbiter import Arbiter
from circus.client import CircusClient
from circus.exc import CallError
from circus.watcher import Watcher
from tornado import gen

from marquee.errors import MarqueeError
from marquee.rollout.arms import CANARY
from service import logs
from service.stack.exec_launcher import CODE_FOLDER
from service.stack.hang_watchdog import kill_if_heartbeat_is_old
from service.stack.pid_files import find_process, write_pid_file
from service.stack.stack_config import StackConfig, load_stack_config, read_arms
from service.stack.waiting import wait_until

CHECK_INTERVAL_S = 0.25  # between checks for processes that exited
GRACE_PERIOD_S = 15.0  # for a process to finish requests in progress
COMMAND_TIMEOUT_S = GRACE_PERIOD_S + 5  # a command may wait for a process to exit
SUPERVISOR_TIMEOUT_S = 20.0  # for the supervisor itself to start or exit
MAX_COMMAND_ATTEMPTS, RETRY_INTERVAL_S = 100, 0.05  # while the supervisor is busy


class SupervisorClient:
    """Starts the supervisor, and sends commands to it through a socket."""

    def __init__(self, folder: Path, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Create a client; no connection is made yet.

        Args:
            folder: folder of the stack.
            timeout_s: seconds to wait for the response to a command.
        """
        self._folder = folder
        self._timeout_s = timeout_s

    @property
    def is_running(self) -> bool:
        """True if the supervisor process is alive."""
        return self._pid() is not None

    @property
    def _log(self) -> Path:
        return self._folder / "logs" / "supervisor.log"

    def start_supervisor(self, environment: Mapping[str, str]) -> None:
        """Start the supervisor and wait until it responds.

        Args:
            environment: variables for all processes of the stack, added to those of this process.

        Raises:
            MarqueeError: the supervisor exited or did not respond in time; its log contains the reason.
        """
        command = [sys.executable, "-m", "service.stack.circus_supervisor", str(self._folder)]
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=CODE_FOLDER,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in this terminal must not stop the supervisor
            )

        def has_exited() -> bool:
            return process.poll() is not None

        def responds() -> bool:
            return self.is_running and self._send("dstats") is not None

        is_decided = wait_until(lambda: has_exited() or responds(), SUPERVISOR_TIMEOUT_S)
        if not is_decided or has_exited():
            raise MarqueeError(f"the supervisor did not start; see {self._log}")

    def start_process(self, name: str) -> None:
        """Start a process, unless it is running.

        Raises:
            MarqueeError: the supervisor did not carry out the command.
        """
        self._send_or_raise("start", name, waiting=False)

    def stop_process(self, name: str) -> None:
        """Stop a process after it has finished requests in progress.

        Raises:
            MarqueeError: the supervisor did not carry out the command.
        """
        self._send_or_raise("stop", name, waiting=True)

    def restart_process(self, name: str) -> None:
        """Stop a process after it has finished requests in progress, and start it again.

        Raises:
            MarqueeError: the supervisor did not carry out the command.
        """
        self._send_or_raise("restart", name, waiting=True)

    def shut_down(self) -> None:
        """Stop all processes and the supervisor itself; do nothing if it is not running."""
        pid = self._pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: self._pid() != pid, GRACE_PERIOD_S + SUPERVISOR_TIMEOUT_S)

    def _pid(self) -> int | None:
        process = find_process(self._folder, "supervisor")
        return None if process is None else process.pid

    def _send_or_raise(self, command: str, name: str, *, waiting: bool) -> None:
        if self._send(command, name=name, waiting=waiting) is None:
            raise MarqueeError(f"the supervisor did not {command} {name}; see {self._log}")

    def _send(self, command: str, **properties: Any) -> dict[str, Any] | None:
        """Send a command, again while the supervisor is busy; return the response, or None without one."""
        client = CircusClient(endpoint=_endpoint(self._folder), timeout=self._timeout_s)
        try:
            for _ in range(MAX_COMMAND_ATTEMPTS):
                response: dict[str, Any] = client.send_message(command, **properties)
                if response.get("status") == "ok":
                    return response
                time.sleep(RETRY_INTERVAL_S)
        except CallError:
            pass
        finally:
            client.stop()
        return None


def graceful_stop_signal(name: str, gateways: Collection[str]) -> signal.Signals:
    """Return the signal after which a process finishes requests in progress and exits.

    HAProxy aborts them on SIGTERM, so gateways get SIGUSR1.
    """
    return signal.SIGUSR1 if name in gateways else signal.SIGTERM


class _StackArbiter(Arbiter):  # type: ignore[misc]  # circus has no type hints
    """Arbiter that keeps running if a process has exited; in BentoML's circus, it stops the others."""

    folder: Path  # folder of the stack
    heartbeat_processes: Sequence[str]

    def manage_watchers(self) -> Any:
        """Restart processes that exited; while a command is in progress, leave that to the next call."""
        return None if self._stopping or self._exclusive_running_command else self._manage()

    @util.synchronized("manage_watchers")  # type: ignore[untyped-decorator]
    @gen.coroutine
    def _manage(self) -> Any:
        for name in self.heartbeat_processes:
            kill_if_heartbeat_is_old(self.folder, name)
        self.reap_processes()
        yield [watcher.manage_processes() for watcher in self.iter_watchers()]


def _endpoint(folder: Path) -> str:
    return f"ipc://{folder / 'supervisor.sock'}"


def _make_watchers(stack: StackConfig) -> list[Watcher]:
    """Return a watcher for each process; the canary's replicas start only if a canary is set."""
    canaries = {replica.name for replica in stack.replicas[CANARY]}
    gateways = {gateway.name for gateway in stack.gateways}
    has_canary = CANARY in read_arms(stack.folder)
    return [
        Watcher(
            name,
            sys.executable,
            ["-m", "service.stack.exec_launcher", str(stack.folder), name],
            working_dir=str(CODE_FOLDER),
            copy_env=True,
            copy_path=True,
            autostart=name not in canaries or has_canary,
            max_retry=-1,
            graceful_timeout=GRACE_PERIOD_S,
            stop_signal=graceful_stop_signal(name, gateways),
            close_child_stdin=True,
        )
        for name in stack.process_names
    ]


def _run(folder: Path) -> None:
    write_pid_file(folder, "supervisor", time.time())
    logs.configure("supervisor")
    stack = load_stack_config(folder)
    arbiter = _StackArbiter(
        _make_watchers(stack),
        endpoint=_endpoint(folder),
        pubsub_endpoint=f"ipc://{folder / 'published.sock'}",
        check_delay=CHECK_INTERVAL_S,
        umask=0o077,
    )
    arbiter.folder, arbiter.heartbeat_processes = folder, stack.heartbeat_processes
    try:
        arbiter.start()
    finally:
        (folder / "pids" / "supervisor").unlink(missing_ok=True)


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
