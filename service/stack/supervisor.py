"""The supervisor: circus, which starts what the stack consists of and starts again what ends.

python -m service.stack.supervisor FOLDER     runs it
Supervisor(folder)                            talks to one that runs
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
from service import logs
from service.stack.launch import CODE, pid_of
from service.stack.stack_config import CANARY, Stack, load_stack, read_arms
from service.stack.waiting import wait_until
from service.stack.watchdog import watch

CHECK_S = 0.25  # between looks at who has ended
GRACE_S = 15.0  # for a process to finish what it is doing
ANSWER_S = GRACE_S + 5  # to a command, which may wait for a process to end
UNTIL_S = 20.0  # for the supervisor itself
TRIES = 100  # of a command


class Supervisor:
    """A supervisor that runs, by its socket."""

    def __init__(self, folder: Path, *, answer_s: float = ANSWER_S) -> None:
        """Talk to the supervisor of a folder.

        Args:
            folder: of the stack.
            answer_s: seconds to wait for its answer to a command.
        """
        self._folder = folder
        self._answer_s = answer_s

    @property
    def running(self) -> bool:
        """Whether one is there."""
        return self._pid() is not None

    def begin(self, environment: Mapping[str, str]) -> None:
        """Start one, and wait until it answers.

        Raises:
            MarqueeError: it ended at once; its log says why.
        """
        log = self._folder / "logs" / "supervisor.log"
        command = [sys.executable, "-m", "service.stack.supervisor", str(self._folder)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=CODE,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in this terminal is not meant for it
            )

        def answers() -> bool:
            return self.running and self._call("dstats") is not None

        known = wait_until(lambda: process.poll() is not None or answers(), UNTIL_S)
        if not known or process.poll() is not None:
            raise MarqueeError(f"the supervisor did not start: see {log}")

    def start(self, name: str) -> None:
        """Start a process that is not running.

        Raises:
            MarqueeError: the supervisor did not do so; this is true of `stop` and `restart` too.
        """
        self._order("start", name, waiting=False)

    def stop(self, name: str) -> None:
        """End a process; it gets time to finish what it is doing."""
        self._order("stop", name, waiting=True)

    def restart(self, name: str) -> None:
        """End a process and start it again."""
        self._order("restart", name, waiting=True)

    def end(self) -> None:
        """End everything, and the supervisor too."""
        pid = self._pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: self._pid() != pid, GRACE_S + UNTIL_S)

    def _order(self, command: str, name: str, *, waiting: bool) -> None:
        if self._call(command, name=name, waiting=waiting) is None:
            log = self._folder / "logs" / "supervisor.log"
            raise MarqueeError(f"the supervisor did not {command} {name}: see {log}")

    def _pid(self) -> int | None:
        found = pid_of(self._folder, "supervisor")
        return None if found is None else found[0]

    def _call(self, command: str, **properties: Any) -> dict[str, Any] | None:
        """Its answer; None where it does not give one. While it looks at who ended, it takes no command."""
        client = CircusClient(endpoint=_endpoint(self._folder), timeout=self._answer_s)
        try:
            for _ in range(TRIES):
                answer: dict[str, Any] = client.send_message(command, **properties)
                if answer.get("status") == "ok":
                    return answer
                time.sleep(0.05)
        except CallError:
            pass
        finally:
            client.stop()
        return None


class _Patient(Arbiter):  # type: ignore[misc]
    """BentoML's edition of circus ends everything where one process is not there; a canary may not be."""

    watched: tuple[Path, Sequence[str]]  # the stack's folder, and who has to show that it is alive

    def manage_watchers(self) -> Any:
        """Start again what has ended; while a command is carried out, the next look will do."""
        return None if self._stopping or self._exclusive_running_command else self._manage()

    @util.synchronized("manage_watchers")  # type: ignore[untyped-decorator]
    @gen.coroutine
    def _manage(self) -> Any:
        for name in self.watched[1]:
            watch(self.watched[0], name)
        self.reap_processes()
        yield [watcher.manage_processes() for watcher in self.iter_watchers()]


def _endpoint(folder: Path) -> str:
    return f"ipc://{folder / 'supervisor.sock'}"


def _watchers(stack: Stack) -> list[Watcher]:
    """Everything; replicas of an arm that is not there are not started."""
    arms = read_arms(stack.folder)
    canaries = {server.name for server in stack.replicas[CANARY]}
    gateways = {gateway.name for gateway in stack.gateways}
    return [
        Watcher(
            name,
            sys.executable,
            ["-m", "service.stack.launch", str(stack.folder), name],
            working_dir=str(CODE),
            copy_env=True,
            copy_path=True,
            autostart=name not in canaries or CANARY in arms,
            max_retry=-1,
            graceful_timeout=GRACE_S,
            stop_signal=stop_signal(name, gateways),
            close_child_stdin=True,
        )
        for name in stack.names
    ]


def stop_signal(name: str, gateways: Collection[str]) -> signal.Signals:
    """What has a process finish what it is answering, and end: HAProxy breaks off at SIGTERM."""
    return signal.SIGUSR1 if name in gateways else signal.SIGTERM


def _run(folder: Path) -> None:
    note = folder / "pids" / "supervisor"
    note.write_text(f"{os.getpid()} {time.time():.3f}\n", encoding="utf-8")
    logs.configure("supervisor")
    stack = load_stack(folder)
    arbiter = _Patient(
        _watchers(stack),
        endpoint=_endpoint(folder),
        pubsub_endpoint=f"ipc://{folder / 'published.sock'}",
        check_delay=CHECK_S,
        umask=0o077,
    )
    arbiter.watched = (folder, stack.beating)
    try:
        arbiter.start()
    finally:
        note.unlink(missing_ok=True)


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
