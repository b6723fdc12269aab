"""A stack whose processes are killed, stopped and ended under load; deploys under load; what a gateway costs.

    python -m benchmarks.chaos [--quick] [--only NAME] [--json FILE]

`kills`: every two seconds one of the processes (a replica or a gateway that is not the last one up, a warden,
the controller) gets SIGKILL, SIGSTOP or SIGTERM, while clients ask; a client asks again twice at most.
`deploys`: all replicas are brought to another Bento and back, one after the other. `cost`: a gateway beside
none. HAProxy and wrk are needed.
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

from benchmarks.search import Row, run
from benchmarks.serving.load import draw_users, script, shoot
from benchmarks.serving.models import write_made_up
from experiments.config.offline import load_params
from experiments.tracking.registry import ModelVersion
from marquee.model.fitted_model import load_model
from pipelines.commands.up import laid_out, raise_stack
from pipelines.rollout.actuator import Hands
from pipelines.support.bento import bento_folder, make_bento
from service.gateway.traffic_split import servers_of
from service.stack.launch import pid_of
from service.stack.stack_config import STABLE, Arm, Stack, free_ports
from service.stack.supervisor import Supervisor

REQUESTS, DEPLOYS = 100_000, 50
EVERY_S = 2.0
CLIENTS, PAUSE_S = 12, 0.02
RETRIES = 2
PATIENCE_S = 1.0  # of a client, for one try
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
REPLICAS, USERS = 3, 2000


@dataclass
class Told:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)  # of each request, with its retries
    first_failed: int = 0
    failed: int = 0

    @property
    def asked(self) -> int:
        """Requests."""
        return len(self.seconds)


class Clients:
    """Ask, each on a connection that is kept, until they are told to stop."""

    def __init__(self, port: int) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=CLIENTS, block=True)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(CLIENTS)]
        self._told = [Told() for _ in range(CLIENTS)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def told(self) -> Told:
        """Of all of them."""
        return Told(
            [each for told in self._told for each in told.seconds],
            sum(told.first_failed for told in self._told),
            sum(told.failed for told in self._told),
        )

    def _ask(self, number: int) -> None:
        rng, told = random.Random(number), self._told[number]
        while not self._stop.is_set():
            began = time.perf_counter()
            path = f"/recommend/{rng.randrange(USERS)}"
            for tries in range(1 + RETRIES):
                if self._answered(path):
                    break
                told.first_failed += tries == 0
            else:
                told.failed += 1
            told.seconds.append(time.perf_counter() - began)
            time.sleep(rng.random() * 2 * PAUSE_S)

    def _answered(self, path: str) -> bool:
        timeout = urllib3.Timeout(total=PATIENCE_S)
        try:
            return self._pool.request("GET", path, retries=False, timeout=timeout).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def kill_rows(share: float) -> Iterable[Row]:
    """Requests while processes die."""
    with standing() as (stack, _), Clients(stack.port) as clients:
        rng, done = random.Random(1), 0
        while clients.told.asked < REQUESTS * share:
            time.sleep(EVERY_S)
            done += _strike(stack, rng)
        told = clients.told
    times = np.quantile(told.seconds, [0.5, 0.99, 0.999]) * 1000
    note = f"{done} processes struck; p50 {times[0]:.1f} ms, p99 {times[1]:.0f} ms"
    yield Row(
        f"of {told.asked} requests failed, two retries", told.failed, None, None, "requests", told.asked,
        f"target 0 {mark(told.failed == 0)}; {note}",
    )  # fmt: skip
    first = told.first_failed / told.asked
    yield Row(
        "failed at the first try", 1000 * first, None, None, "in 1,000", told.asked,
        f"target 1 in 1,000 {mark(first <= 1e-3)}",
    )  # fmt: skip
    yield Row(
        "p99.9, retries included",
        times[2],
        None,
        None,
        "ms",
        told.asked,
        f"target 1,000 ms {mark(times[2] <= 1000)}",
    )


def _strike(stack: Stack, rng: random.Random) -> int:
    """One process that others can stand in for; how many were struck."""
    up = {
        server.name
        for gateway in stack.gateways
        for server in servers_of(stack.folder, gateway) or ()
        if server.backend == STABLE and server.up
    }
    gateways = [gateway.name for gateway in stack.gateways if pid_of(stack.folder, gateway.name)]
    victims = [*stack.beating]
    victims += sorted(up) if len(up) > 1 else []
    victims += gateways if len(gateways) > 1 else []
    found = pid_of(stack.folder, rng.choice(victims))
    if found is None:
        return 0
    os.kill(found[0], rng.choice(SIGNALS))
    return 1


def deploy_rows(share: float) -> Iterable[Row]:
    """Requests while everything is deployed anew, again and again."""
    deploys = max(2, round(DEPLOYS * share))
    with standing() as (stack, arms), Clients(stack.port) as clients:
        hands, took = Hands(stack), []
        for number in range(deploys):
            began = time.perf_counter()
            hands.crown(arms[1 - number % 2])
            took.append(time.perf_counter() - began)
        told = clients.told
    p999 = 1000 * float(np.quantile(told.seconds, 0.999))
    yield Row(
        f"of {told.asked} requests failed at the first try, {deploys} rolling deploys",
        told.first_failed, None, None, "requests", told.asked,
        f"target 0 {mark(told.first_failed == 0)}; {np.median(took):.1f} s each, p99.9 {p999:.0f} ms",
    )  # fmt: skip


def cost_rows(share: float) -> Iterable[Row]:
    """One request after the other, through a gateway and past it."""
    rounds, seconds = (5, 3.0) if share == 1.0 else (2, 1.0)
    users = draw_users([str(number) for number in range(USERS)])
    with standing(replicas=1) as (stack, _), tempfile.TemporaryDirectory() as folder:
        lua = Path(folder) / "users.lua"
        lua.write_text(script([("GET", f"/recommend/{user}", None) for user in users]), encoding="utf-8")
        ports = (stack.port, stack.replicas[STABLE][0].port)
        shots = np.array([[shoot(port, lua, seconds, 1).p50 for port in ports] for _ in range(1 + rounds)])[
            1:
        ]
    through, direct = np.median(shots, axis=0)
    more = float(np.median(shots[:, 0] - shots[:, 1]))
    spread = np.ptp(shots[:, 0] - shots[:, 1]) / 2
    note = f"{more:.2f} ± {spread:.2f} ms more, target 0.4 ms {mark(more <= 0.4)}"
    yield Row("p50 through a gateway; past it", through, direct, direct / through, "ms", rounds, note)


@contextmanager
def standing(replicas: int = REPLICAS) -> Iterator[tuple[Stack, tuple[Arm, Arm]]]:
    """A stack that is up, and two Bentos for it; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="mq-") as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        write_made_up(folder / "model", USERS, 1000)
        digest = load_model(folder / "model").digest
        first, second = (_arm(folder / "model", digest, version) for version in (1, 2))
        params = load_params()
        gateway = params.gateway.model_copy(update={"requests_per_10s": 10**9})
        stack = laid_out(
            params.model_copy(update={"gateway": gateway}),
            folder / "run",
            replicas=replicas,
            port=free_ports(1)[0],
            host="127.0.0.1",
            events=folder / "events",
        )
        try:
            raise_stack(stack, {STABLE: first})
            yield stack, (first, second)
        finally:
            Supervisor(stack.folder).end()


def _arm(model: Path, digest: str, version: int) -> Arm:
    told = ModelVersion("marquee", version, "0f0f", (), {})
    return Arm(str(bento_folder(make_bento("marquee", model, digest, told, None))), version)


def mark(reached: bool) -> str:
    """Of a target."""
    return "✓" if reached else "✗"


PARTS = {"cost": cost_rows, "kills": kill_rows, "deploys": deploy_rows}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mq-bentos-") as bentos:
        os.environ["BENTOML_HOME"] = bentos  # once: BentoML remembers the first that it saw
        code = run("python -m benchmarks.chaos", __doc__, PARTS)
    sys.exit(code)
