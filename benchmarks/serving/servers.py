"""Contenders: each a server in a process group of its own, pinned to one core, ended with the benchmark."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

from benchmarks.serving.load import SERVER_CORE
from marquee.errors import MarqueeError
from marquee.process_memory import mapped_bytes

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
LONGEST = 120.0  # seconds until a server answers


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    port: int
    ready_s: float  # from its start
    pid: int


@contextmanager
def server(
    command: Sequence[str], ready: str, home: Path, environment: Mapping[str, str], *, pinned: bool = True
) -> Iterator[Running]:
    """Start a server; `{port}` in the command is a free port. It is ready when `ready` answers 200.

    Raises:
        MarqueeError: it ended, or did not answer in time.
    """
    port = _free_port()
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    pin = ["taskset", "-c", SERVER_CORE] if pinned else []
    with (home / "server.log").open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [*pin, *(part.format(port=port) for part in command)],
            cwd=ROOT, env={**os.environ, **settings, **environment, "MARQUEE_PORT": str(port)},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.monotonic() - began > LONGEST:
                last = (home / "server.log").read_text().strip().splitlines()[-1:] or ["nothing"]
                raise MarqueeError(f"{command[0]} did not come up: {last[0]}")
            time.sleep(0.01)
        yield Running(port, time.monotonic() - began, process.pid)
    finally:
        _end(process)


def own_megabytes(pid: int) -> tuple[float, float]:
    """Memory of a process and all below it: theirs alone and of no file, and their share of all (PSS).

    Pages of the model's files are shared by all replicas that map it, so they count in the second only.
    """
    parent = psutil.Process(pid)
    own = pss = 0
    for process in (parent, *parent.children(recursive=True)):
        mapped = mapped_bytes(process.pid)
        own, pss = own + mapped["Private_Dirty"], pss + mapped["Pss"]
    return own / MIB, pss / MIB


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[bytes]") -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return
