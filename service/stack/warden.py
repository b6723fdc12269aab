"""The warden: ends what is there but does not answer, so that the supervisor starts it again.

A supervisor sees processes that end. One that is stopped, or hangs, keeps its port: at a gateway's, the
kernel goes on handing it every second connection. `python -m service.stack.warden FOLDER` asks everybody, all
the time.
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
from service.stack.asking import alive
from service.stack.launch import pid_of
from service.stack.layout import Stack, load_stack

EVERY_S = 0.1
GATEWAY_MISSES, REPLICA_MISSES = 2, 12  # in a row; a replica may be busy, and others answer for it meanwhile
STARTING_S = 30.0  # before it has answered for the first time
BEAT_S = 10.0  # the controller shows that it is alive
log = logs.logger("warden")


class Warden:
    """Remembers who missed how often."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._misses: dict[str, int] = {}
        self._answered: dict[str, int] = {}  # pid by name, of who has answered once
        gateways = {gateway.name: gateway.metrics_port for gateway in stack.gateways}
        replicas = {s.name: s.port for servers in stack.replicas.values() for s in servers}
        self._ports: Mapping[str, int] = {**gateways, **replicas}
        self._allowed = {name: GATEWAY_MISSES if name in gateways else REPLICA_MISSES for name in self._ports}
        self._pool = ThreadPoolExecutor(len(self._ports))

    def look(self) -> None:
        """Ask everybody once."""
        answers = dict(zip(self._ports, self._pool.map(alive, self._ports.values()), strict=True))
        for name, answer in answers.items():
            found = pid_of(self._stack.folder, name)
            if found is None:
                self._misses.pop(name, None)
            elif answer:
                self._misses[name] = 0
                self._answered[name] = found[0]
            else:
                self._miss(name, *found)
        beat(self._stack.folder, "warden")
        if self._stack.controller:
            self._watch("controller")

    def _miss(self, name: str, pid: int, since: float) -> None:
        self._misses[name] = self._misses.get(name, 0) + 1
        known = self._answered.get(name) == pid
        if self._misses[name] > self._allowed[name] if known else time.time() > since + STARTING_S:
            self._misses[name] = 0
            end(name, pid)

    def _watch(self, name: str) -> None:
        watch(self._stack.folder, name)


def watch(folder: Path, name: str) -> None:
    """End a process that is there but has shown no sign of life for a while."""
    found = pid_of(folder, name)
    if found is not None and time.time() > max(found[1] + STARTING_S, last_beat(folder, name) + BEAT_S):
        end(name, found[0])


def end(name: str, pid: int) -> None:
    """Kill: what does not answer does not hear a wish either."""
    log.error("does not answer", process=name, pid=pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def beat(folder: Path, name: str) -> None:
    """Show that this process is alive."""
    (folder / "beats" / name).touch()


def last_beat(folder: Path, name: str) -> float:
    """When a process last showed that it is alive, in UTC seconds."""
    try:
        return (folder / "beats" / name).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _run(folder: Path) -> None:
    logs.configure("warden")
    warden = Warden(load_stack(folder))
    while True:
        warden.look()
        time.sleep(EVERY_S)


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
