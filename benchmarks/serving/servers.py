"""Server processes of the benchmark: each in its own process group, pinned to one core."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import psutil

from benchmarks.serving.load_generator import SERVER_CORE
from marquee.errors import MarqueeError
from marquee.process_memory import read_memory_breakdown
from service.stack.health_checks import fetch
from service.stack.stack_config import find_free_ports
from service.stack.waiting import wait_until

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
STARTUP_TIMEOUT_S = 120.0
REQUEST_TIMEOUT_S = 2.0
SHUTDOWN_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class RunningServer:
    """Server that responds to requests."""

    port: int
    ready_s: float  # time from its start to its first response
    pid: int


@dataclass(frozen=True)
class MemoryUsage:
    """Memory of a process and its descendants.

    Pages of memory-mapped model files are shared by all replicas; only `pss_mb` includes them.
    """

    private_mb: float  # private and not backed by a file
    pss_mb: (
        float  # proportional set size: shared pages are divided by the number of processes that share them
    )


@contextmanager
def running_server(
    command: Sequence[str],
    health_path: str,
    folder: Path,
    environment: Mapping[str, str],
    *,
    pinned: bool = True,
) -> Iterator[RunningServer]:
    """Run a server until the end of the `with` block.

    Args:
        command: command to run; `{port}` is replaced by a free port.
        health_path: path that returns 200 once the server is ready.
        folder: folder of the server's log and of BentoML's files.
        environment: additional environment variables.
        pinned: if True, pin the server to one core.

    Raises:
        MarqueeError: the server exited or was not ready in time.
    """
    port = find_free_ports(1)[0]
    log = folder / "server.log"
    start = time.monotonic()
    process = _start(command, port, log, environment, pinned=pinned)
    try:
        wait_until(
            lambda: process.poll() is not None or _is_healthy(port, health_path),
            STARTUP_TIMEOUT_S,
            poll_interval_s=0.01,
        )
        if process.poll() is not None or not _is_healthy(port, health_path):
            last_line = log.read_text().strip().splitlines()[-1:] or ["no output"]
            raise MarqueeError(f"{command[0]} did not start: {last_line[0]}")
        yield RunningServer(port, time.monotonic() - start, process.pid)
    finally:
        _stop(process)


def measure_memory(pid: int) -> MemoryUsage:
    """Measure the memory of a process and its descendants."""
    parent = psutil.Process(pid)
    private = pss = 0
    for process in (parent, *parent.children(recursive=True)):
        mapped = read_memory_breakdown(process.pid)
        private, pss = private + mapped["Private_Dirty"], pss + mapped["Pss"]
    return MemoryUsage(private / MIB, pss / MIB)


def _start(
    command: Sequence[str], port: int, log: Path, environment: Mapping[str, str], *, pinned: bool
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    defaults = {
        "BENTOML_HOME": str(log.parent),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    pin = ["taskset", "-c", SERVER_CORE] if pinned else []
    with log.open("w") as output:
        return subprocess.Popen(
            [*pin, *(part.format(port=port) for part in command)],
            cwd=ROOT, env={**os.environ, **defaults, **environment, "MARQUEE_PORT": str(port)},
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def _is_healthy(port: int, path: str) -> bool:
    response = fetch(port, path, REQUEST_TIMEOUT_S)
    return response is not None and response[0] == HTTPStatus.OK


def _stop(process: subprocess.Popen[bytes]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(SHUTDOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return
