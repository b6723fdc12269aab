"""The wardens: they end what is there but does not answer, so that the supervisor starts it again.

A supervisor sees processes that end. One that is stopped, or hangs, keeps its port: at a gateway's, the
kernel goes on handing it every second connection. Each warden asks everybody, all the time, and has an eye on
files that grow. There are two of them, for one that is stopped sees nothing.

    python -m service.stack.watchdog FOLDER NAME
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
from service.stack.health_checks import alive
from service.stack.launch import pid_of
from service.stack.log_rotation import bound
from service.stack.stack_config import WARDENS, Stack, load_stack

EVERY_S = 0.1
GATEWAY_PATIENCE_S, REPLICA_PATIENCE_S = 0.1, 0.5  # for one answer
GATEWAY_MISSES, REPLICA_MISSES = 3, 6  # in a row; of a replica others answer meanwhile, and it may be busy
REPLICAS_EVERY, FILES_EVERY = 5, 50  # rounds
STARTING_S = 30.0  # before it has answered for the first time
BEATS_S = {"controller": 30.0, **dict.fromkeys(WARDENS, 1.0)}  # silent for so long
FIRST_BEAT_S = {"controller": 30.0, **dict.fromkeys(WARDENS, 3.0)}  # after its start
log = logs.logger("warden")


class Warden:
    """Remembers who missed how often."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack, self._name = stack, name
        self._misses: dict[str, int] = {}
        self._answered: dict[str, int] = {}  # pid by name, of who has answered once
        self._gateways = {gateway.name: gateway.metrics_port for gateway in stack.gateways}
        self._replicas = {s.name: s.port for servers in stack.replicas.values() for s in servers}
        self._pool = ThreadPoolExecutor(len(self._gateways) + len(self._replicas))
        self._rounds = 0

    def look(self) -> None:
        """Ask everybody whose turn it is once."""
        beat(self._stack.folder, self._name)
        self._ask(self._gateways, GATEWAY_PATIENCE_S, GATEWAY_MISSES)
        if self._rounds % REPLICAS_EVERY == 0:
            self._ask(self._replicas, REPLICA_PATIENCE_S, REPLICA_MISSES)
        if self._rounds % FILES_EVERY == 0:
            bound(self._stack)
        self._rounds += 1
        for other in self._stack.beating:
            if other != self._name:
                watch(self._stack.folder, other)

    def _ask(self, ports: Mapping[str, int], patience_s: float, allowed: int) -> None:
        answers = self._pool.map(lambda port: alive(port, patience_s), ports.values())
        for name, answer in zip(ports, answers, strict=True):
            found = pid_of(self._stack.folder, name)
            if found is None:
                self._misses.pop(name, None)
            elif answer:
                self._misses[name] = 0
                self._answered[name] = found[0]
            else:
                self._miss(name, *found, allowed)

    def _miss(self, name: str, pid: int, since: float, allowed: int) -> None:
        self._misses[name] = self._misses.get(name, 0) + 1
        known = self._answered.get(name) == pid
        if self._misses[name] >= allowed if known else time.time() > since + STARTING_S:
            self._misses[name] = 0
            end(name, pid)


def watch(folder: Path, name: str) -> None:
    """End a process that is there but has shown no sign of life for a while."""
    found = pid_of(folder, name)
    if found is None:
        return
    began, last = found[1], last_beat(folder, name)
    until = last + BEATS_S[name] if last > began else began + FIRST_BEAT_S[name]
    if time.time() > until:
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


def _run(folder: Path, name: str) -> None:
    logs.configure(name)
    warden = Warden(load_stack(folder), name)
    while True:
        warden.look()
        time.sleep(EVERY_S)


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
