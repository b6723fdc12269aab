"""Failed requests while processes of a stack are killed, stopped and redeployed; latency added by a gateway.

    python -m benchmarks.chaos [--quick] [--only NAME] [--json FILE]

`kills`: every two seconds, SIGKILL, SIGSTOP or SIGTERM is sent to a watchdog, the controller, or a replica or
gateway that is not the last one running. Clients retry a request at most twice. `deploys`: all replicas are
redeployed one by one, with two Bentos in turn. `cost`: latency of requests through a gateway and directly to
a replica. HAProxy and wrk must be installed.
"""

import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import urllib3

from benchmarks.command_line import run_benchmark
from benchmarks.result_rows import ResultRow, format_check_mark
from benchmarks.serving.load_generator import build_wrk_script, draw_users, run_wrk
from benchmarks.serving.models import write_random_model
from experiments.config import load_params
from experiments.tracking.model_registry import ModelVersion
from marquee.model.fitted_model import load_model
from marquee.rollout.arms import STABLE
from pipelines.commands.up import build_stack_config, start_stack
from pipelines.rollout.actuator import StackActuator
from pipelines.support.bento import BentoSpec, ensure_bento, get_bento_folder
from service.gateway.haproxy_socket import query_servers
from service.stack.circus_supervisor import SupervisorClient
from service.stack.pid_files import find_process
from service.stack.stack_config import Arm, StackConfig, find_free_ports

N_REQUESTS, N_DEPLOYS = 100_000, 50
FAULT_INTERVAL_S = 2.0
N_CLIENTS, MEAN_PAUSE_S = 12, 0.02  # pause of a client between two requests
N_RETRIES = 2
CLIENT_TIMEOUT_S = 1.0  # for one attempt
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
N_REPLICAS, N_USERS, N_ITEMS = 3, 2000, 1000
MAX_FIRST_FAILURE_RATE, MAX_P999_MS, MAX_GATEWAY_COST_MS = 1e-3, 1000, 0.4  # targets


@dataclass
class RequestStats:
    """Durations and failures of requests, as seen by the clients."""

    seconds: list[float] = field(default_factory=list)  # of each request, with its retries
    first_failed: int = 0  # requests whose first attempt failed
    failed: int = 0  # requests whose attempts all failed

    @property
    def n_requests(self) -> int:
        """Number of requests."""
        return len(self.seconds)

    def quantile_ms(self, level: float) -> float:
        """Return a quantile of the durations in milliseconds."""
        return 1000 * float(np.quantile(self.seconds, level))


class ClientPool:
    """Client threads that send requests over persistent connections until the end of the `with` block."""

    def __init__(self, port: int) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=N_CLIENTS, block=True)
        self._stop = threading.Event()
        self._stats = [RequestStats() for _ in range(N_CLIENTS)]
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(N_CLIENTS)
        ]

    def __enter__(self) -> "ClientPool":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def collect_stats(self) -> RequestStats:
        """Return the combined statistics of all clients so far."""
        return RequestStats(
            [seconds for stats in self._stats for seconds in stats.seconds],
            sum(stats.first_failed for stats in self._stats),
            sum(stats.failed for stats in self._stats),
        )

    def _run(self, number: int) -> None:
        rng, stats = random.Random(number), self._stats[number]
        while not self._stop.is_set():
            start = time.perf_counter()
            path = f"/recommend/{rng.randrange(N_USERS)}"
            for attempt in range(1 + N_RETRIES):
                if self._succeeds(path):
                    break
                stats.first_failed += attempt == 0
            else:
                stats.failed += 1
            stats.seconds.append(time.perf_counter() - start)
            time.sleep(rng.random() * 2 * MEAN_PAUSE_S)

    def _succeeds(self, path: str) -> bool:
        timeout = urllib3.Timeout(total=CLIENT_TIMEOUT_S)
        try:
            return self._pool.request("GET", path, retries=False, timeout=timeout).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def measure_kills(share: float) -> Iterable[ResultRow]:
    """Measure failures and durations of requests while processes are killed, stopped and terminated."""
    with running_stack() as (stack, _), ClientPool(stack.port) as clients:
        rng, n_faults = random.Random(1), 0
        while clients.collect_stats().n_requests < N_REQUESTS * share:
            time.sleep(FAULT_INTERVAL_S)
            n_faults += _signal_random_process(stack, rng)
        stats = clients.collect_stats()
    n = stats.n_requests
    durations = f"p50 {stats.quantile_ms(0.5):.1f} ms, p99 {stats.quantile_ms(0.99):.0f} ms"
    note = f"target 0 {format_check_mark(stats.failed == 0)}; {n_faults} processes signaled; {durations}"
    yield ResultRow(f"of {n} requests failed after two retries", stats.failed, "requests", n, note)
    rate = stats.first_failed / n
    note = f"target 1 in 1,000 {format_check_mark(rate <= MAX_FIRST_FAILURE_RATE)}"
    yield ResultRow("failed at the first attempt", 1000 * rate, "in 1,000", n, note)
    p999 = stats.quantile_ms(0.999)
    note = f"target {MAX_P999_MS:,} ms {format_check_mark(p999 <= MAX_P999_MS)}"
    yield ResultRow("p99.9 with retries", p999, "ms", n, note)


def _signal_random_process(stack: StackConfig, rng: random.Random) -> int:
    """Send a random signal to a process that others can replace; return the number of processes, 0 or 1."""
    replicas = {
        server.name
        for gateway in stack.gateways
        for server in query_servers(stack.folder, gateway) or ()
        if server.backend == STABLE and server.is_up
    }
    gateways = [gateway.name for gateway in stack.gateways if find_process(stack.folder, gateway.name)]
    candidates = [*stack.heartbeat_processes]
    candidates += sorted(replicas) if len(replicas) > 1 else []
    candidates += gateways if len(gateways) > 1 else []
    process = find_process(stack.folder, rng.choice(candidates))
    if process is None:
        return 0
    os.kill(process.pid, rng.choice(SIGNALS))
    return 1


def measure_deployments(share: float) -> Iterable[ResultRow]:
    """Measure failures of requests during rolling deployments."""
    n_deploys = max(2, round(N_DEPLOYS * share))
    with running_stack() as (stack, arms), ClientPool(stack.port) as clients:
        actuator, seconds = StackActuator(stack), []
        for number in range(n_deploys):
            start = time.perf_counter()
            actuator.update_stable_replicas(arms[1 - number % 2])
            seconds.append(time.perf_counter() - start)
        stats = clients.collect_stats()
    durations = f"{np.median(seconds):.1f} s each, p99.9 {stats.quantile_ms(0.999):.0f} ms"
    title = f"of {stats.n_requests} requests failed at the first attempt, {n_deploys} rolling deployments"
    note = f"target 0 {format_check_mark(stats.first_failed == 0)}; {durations}"
    yield ResultRow(title, stats.first_failed, "requests", stats.n_requests, note)


def measure_gateway_cost(share: float) -> Iterable[ResultRow]:
    """Measure the latency of requests through a gateway and directly to a replica, one at a time."""
    rounds, seconds = (5, 3.0) if share == 1.0 else (2, 1.0)
    users = draw_users([str(number) for number in range(N_USERS)])
    with running_stack(replicas=1) as (stack, _), tempfile.TemporaryDirectory() as folder:
        lua = Path(folder) / "users.lua"
        lua.write_text(
            build_wrk_script([("GET", f"/recommend/{user}", None) for user in users]), encoding="utf-8"
        )
        ports = (stack.port, stack.replicas[STABLE][0].port)
        rows = [[run_wrk(port, lua, seconds, 1).p50 for port in ports] for _ in range(1 + rounds)]
    medians = np.array(rows[1:])  # the first round is the warm-up
    through, direct = np.median(medians, axis=0)
    costs = medians[:, 0] - medians[:, 1]
    cost, spread = float(np.median(costs)), np.ptp(costs) / 2
    target = f"target {MAX_GATEWAY_COST_MS} ms {format_check_mark(cost <= MAX_GATEWAY_COST_MS)}"
    note = f"{cost:.2f} ± {spread:.2f} ms more, {target}"
    yield ResultRow(
        "p50 through a gateway; directly", through, "ms", rounds, note, peer=direct, ratio=direct / through
    )


@contextmanager
def running_stack(replicas: int = N_REPLICAS) -> Iterator[tuple[StackConfig, tuple[Arm, Arm]]]:
    """Build two Bentos and start a stack with the first; stop the stack at the end of the `with` block."""
    with tempfile.TemporaryDirectory(prefix="mq-") as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        write_random_model(folder / "model", N_USERS, N_ITEMS)
        digest = load_model(folder / "model").digest
        first, second = (_make_arm(folder / "model", digest, version) for version in (1, 2))
        stack = _unlimited_stack_config(folder, replicas)
        try:
            start_stack(stack, {STABLE: first})
            yield stack, (first, second)
        finally:
            SupervisorClient(stack.folder).shut_down()


def _unlimited_stack_config(folder: Path, replicas: int) -> StackConfig:
    """Return the configuration of a stack without a rate limit."""
    params = load_params()
    gateway = params.gateway.model_copy(update={"requests_per_10s": 10**9})
    return build_stack_config(
        params.model_copy(update={"gateway": gateway}),
        folder / "run",
        replicas=replicas,
        port=find_free_ports(1)[0],
        host="127.0.0.1",
        events=folder / "events",
    )


def _make_arm(model: Path, digest: str, version: int) -> Arm:
    content = BentoSpec("marquee", digest, ModelVersion("marquee", version, "0f0f"), None)
    return Arm(str(get_bento_folder(ensure_bento(content, model))), version)


PARTS = {"cost": measure_gateway_cost, "kills": measure_kills, "deploys": measure_deployments}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mq-bentos-") as bentos:
        os.environ["BENTOML_HOME"] = bentos  # set once for all parts, because BentoML reads it only once
        exit_code = run_benchmark("python -m benchmarks.chaos", __doc__, PARTS)
    sys.exit(exit_code)
