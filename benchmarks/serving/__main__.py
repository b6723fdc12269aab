"""Benchmark of the serving path: Marquee and other ways to serve the same model, on this machine in one run.

    python -m benchmarks.serving [--quick] [--only NAME] [--json FILE]

Server and load generator have a core each; contenders take turns, and medians of five rounds are compared.

    hot       GET /recommend/{user} under `bentoml serve` with telemetry on
    disk      latency while events cannot be written to disk
    folded    POST /recommend by a visitor with ten ratings
    million   models of up to a million users; draws docs/figures/serving.png

wrk must be installed, and MARQUEE_DATA_DIR must contain ml-1m.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import surprise

from benchmarks.command import run_benchmark
from benchmarks.ratings import load_movielens, sample_ratings
from benchmarks.result_rows import ResultRow, check_mark
from benchmarks.serving.figure import ModelSizeResult, draw_latency_by_users
from benchmarks.serving.in_process import measure_in_process_rate
from benchmarks.serving.load import (
    CONNECTIONS,
    HttpRequest,
    LoadResult,
    build_wrk_script,
    draw_users,
    run_wrk,
)
from benchmarks.serving.models import write_movielens_model, write_random_model
from benchmarks.serving.servers import RunningServer, measure_memory, running_server
from service.stack.health_checks import fetch

ROOT = Path(__file__).parents[2]
FIGURE = ROOT / "docs" / "figures" / "serving.png"
MARQUEE = ("bentoml", "serve", "service.app:Marquee", "--host", "127.0.0.1", "--port", "{port}")
MARQUEE_IN_CONTAINER = ("python", "deploy/container/serve.py")  # BentoML's worker without the supervisor
PLAIN_BENTOML = ("bentoml", "serve", "benchmarks.contenders.bentoml_plain:Plain", "--port", "{port}")
STARLETTE = (
    "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning",
    "benchmarks.contenders.starlette_constant:app",
)  # fmt: skip
N_ROUNDS, ROUND_SECONDS = 5, 4.0
N_QUICK_ROUNDS, QUICK_ROUND_SECONDS = 2, 1.0
WARM_UP_SECONDS = 1.0
MANY_CONNECTIONS = 4 * CONNECTIONS
FIXED_RATE = 2000  # requests per second
MODEL_SIZES = (1_000, 10_000, 100_000, 1_000_000)  # users
LoadResults = Mapping[str, list[LoadResult]]


@dataclass(frozen=True)
class Rounds:
    """How often and for how long each contender is measured."""

    number: int
    seconds: float


@dataclass(frozen=True)
class HotRoute:
    """Inputs of the contenders of the hot route."""

    folder: Path
    ratings: pd.DataFrame
    users: Sequence[str]  # drawn for the requests
    rounds: Rounds

    @property
    def model(self) -> Path:
        """Folder of the model."""
        return self.folder / "fitted"

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment of servers of the model."""
        return model_environment(self.folder)


def model_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a replica that serves the model `fitted` in a folder."""
    return {"MARQUEE_MODEL": str(folder / "fitted"), "MARQUEE_EVENTS": str(folder / "events")}


def hot_rows(share: float) -> Iterator[ResultRow]:
    """Compare GET /recommend/{user} with a constant response, itself without telemetry, and plain servers."""
    with TemporaryDirectory() as name, ExitStack() as servers:
        folder = Path(name)
        ratings = sample_ratings(load_movielens("ml-1m"), share)
        matrix = write_movielens_model(folder / "fitted", ratings)
        is_quick = share < 1.0
        rounds = Rounds(N_QUICK_ROUNDS, QUICK_ROUND_SECONDS) if is_quick else Rounds(N_ROUNDS, ROUND_SECONDS)
        route = HotRoute(folder, ratings, draw_users(matrix.user_ids), rounds)

        def start(title: str, command: Sequence[str], health_path: str, **settings: str) -> RunningServer:
            environment = {**route.environment, **settings}
            return servers.enter_context(running_server(command, health_path, folder / title, environment))

        marquee = start("marquee", MARQUEE, "/readyz")
        without_telemetry = start("without-telemetry", MARQUEE, "/readyz", MARQUEE_TELEMETRY="off")
        n_bytes = response_bytes(marquee.port, f"/recommend/{route.users[0]}")
        constant = start("constant", STARLETTE, "/recommend/1", CONSTANT_BYTES=str(n_bytes))
        yield from fast_rows(route, marquee, without_telemetry, constant)
        plain_bentoml = start("plain-bentoml", PLAIN_BENTOML, "/readyz")
        yield from slow_rows(route, marquee, plain_bentoml)


def fast_rows(
    route: HotRoute, marquee: RunningServer, without_telemetry: RunningServer, constant: RunningServer
) -> Iterator[ResultRow]:
    """Compare the hot route with servers of similar speed."""
    title = "GET /recommend/{user}"
    gets = write_get_script(route)
    servers = {"marquee": marquee, "without telemetry": without_telemetry, "constant": constant}
    results = take_turns({name: (server.port, gets) for name, server in servers.items()}, route.rounds)
    yield _rate_row(f"{title}, a constant from Starlette", results["marquee"], results["constant"], 0.8)
    yield _rate_row(f"{title}, telemetry off", results["marquee"], results["without telemetry"], 0.95)
    rate = min(median_rate(results["marquee"]), median_rate(results["constant"]))
    yield half_load_row(route, marquee, constant, rate / 2)


def slow_rows(route: HotRoute, marquee: RunningServer, plain_bentoml: RunningServer) -> Iterator[ResultRow]:
    """Compare the hot route with servers that score all items for each request."""
    posts = route.folder / "posts.lua"
    requests = [("POST", "/recommend", json.dumps({"user": user})) for user in route.users[:2000]]
    posts.write_text(build_wrk_script(requests))
    contenders = {
        "plain BentoML": (plain_bentoml.port, posts),
        "marquee": (marquee.port, write_get_script(route)),
    }
    results = take_turns(contenders, route.rounds)
    title = "GET /recommend/{user}, plain @bentoml.api"
    yield _rate_row(title, results["marquee"], results["plain BentoML"], 5)
    yield memory_row(marquee)
    yield mlflow_row(route, results["marquee"])
    yield from surprise_rows(route, results["marquee"])


def write_get_script(route: HotRoute) -> Path:
    """Write the wrk script of GET requests for the drawn users."""
    script = route.folder / "gets.lua"
    script.write_text(build_wrk_script(_get_requests(route.users)))
    return script


def take_turns(contenders: Mapping[str, tuple[int, Path]], rounds: Rounds) -> LoadResults:
    """Measure each contender (port, script) in every round, after a warm-up round."""
    results: dict[str, list[LoadResult]] = {name: [] for name in contenders}
    for port, script in contenders.values():
        run_wrk(port, script, WARM_UP_SECONDS)
    for _ in range(rounds.number):
        for name, (port, script) in contenders.items():
            results[name].append(run_wrk(port, script, rounds.seconds))
    return results


def half_load_row(route: HotRoute, marquee: RunningServer, constant: RunningServer, rate: float) -> ResultRow:
    """Compare p99 at half the rate of the slower server, with random arrivals on many connections."""
    script = route.folder / "half.lua"
    delay_ms = 1000 * MANY_CONNECTIONS / rate
    script.write_text(build_wrk_script(_get_requests(route.users), delay_ms=delay_ms))
    latencies: dict[str, list[float]] = {"marquee": [], "constant": []}
    for _ in range(N_ROUNDS):
        for name, server in (("marquee", marquee), ("constant", constant)):
            latencies[name].append(run_wrk(server.port, script, ROUND_SECONDS, MANY_CONNECTIONS).p99)
    ours, peer = median(latencies["marquee"]), median(latencies["constant"])
    note = (
        f"target at most 2x the constant's {check_mark(ours <= 2 * peer)}; {_range(latencies['marquee'])} ms"
    )
    return ResultRow(
        f"p99 at half load ({rate:.0f}/s), a constant", ours, peer, peer / ours, "ms", N_ROUNDS, note
    )


def memory_row(marquee: RunningServer) -> ResultRow:
    """Measure the memory of a replica with its supervisor."""
    memory = measure_memory(marquee.pid)
    note = f"target 180 MB private {check_mark(memory.private_mb <= 180)}; PSS {memory.pss_mb:.0f} MB"
    return ResultRow("memory of a replica with its supervisor", memory.private_mb, None, None, "MB", 1, note)


def mlflow_row(route: HotRoute, marquee: Sequence[LoadResult]) -> ResultRow:
    """Compare with `mlflow models serve` of the same model."""
    folder = route.folder / "mlflow-model"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.contenders.mlflow_model", str(folder)],
        check=True, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    script = route.folder / "mlflow.lua"
    requests = [("POST", "/invocations", json.dumps({"inputs": [user]})) for user in route.users[:2000]]
    script.write_text(build_wrk_script(requests))
    options = ("-m", str(folder), "--env-manager", "local", "--port", "{port}", "-w", "1")
    command = ("mlflow", "models", "serve", *options)
    with running_server(command, "/ping", route.folder / "mlflow", route.environment) as mlflow:
        results = take_turns({"mlflow": (mlflow.port, script)}, route.rounds)["mlflow"]
    return _rate_row("GET /recommend/{user}, mlflow models serve", marquee, results, 10)


def surprise_rows(route: HotRoute, marquee: Sequence[LoadResult]) -> Iterator[ResultRow]:
    """Compare with Surprise in process: predict all items, then sort."""
    peer = measure_surprise_rate(route.ratings)
    for title, rate, n in (
        ("GET /recommend/{user} over HTTP", median_rate(marquee), len(marquee)),
        (
            "the same in process, telemetry on",
            measure_in_process_rate(route.model, route.users),
            len(route.users),
        ),
    ):
        note = f"target 1000x {check_mark(rate / peer >= 1000)}; Surprise in process, without a server"
        yield ResultRow(f"{title}, Surprise's predict and sort", rate, peer, rate / peer, "1/s", n, note)


def measure_surprise_rate(ratings: pd.DataFrame) -> float:
    """Return how many users per second Surprise can rank all items for."""
    reader = surprise.Reader(rating_scale=(1, 5))
    trainset = surprise.Dataset.load_from_df(
        ratings[["user", "item", "rating"]], reader
    ).build_full_trainset()
    algorithm = surprise.SVD(n_factors=64, n_epochs=1).fit(trainset)
    items, seconds = ratings["item"].unique().tolist(), []
    for user in ratings["user"].unique()[:20].tolist():
        start = time.perf_counter()
        estimates = [(algorithm.predict(user, item).est, item) for item in items]
        sorted(estimates, reverse=True)
        seconds.append(time.perf_counter() - start)
    return 1 / median(seconds)


def disk_row(share: float) -> ResultRow:
    """Compare p99 at a fixed rate while events cannot be written at all, with p99 on a working disk."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        matrix = write_movielens_model(folder / "fitted", sample_ratings(load_movielens("ml-1m"), share))
        not_a_folder = folder / "not-a-folder"
        not_a_folder.write_text("a file where the folder of events should be")
        servers = {}
        for disk, events in (("failing", not_a_folder), ("working", folder / "events")):
            environment = {**model_environment(folder), "MARQUEE_EVENTS": str(events)}
            server = running_server(MARQUEE, "/readyz", folder / disk, environment)
            servers[disk] = stack.enter_context(server)
        script = folder / "fixed.lua"
        requests = _get_requests(draw_users(matrix.user_ids))
        script.write_text(build_wrk_script(requests, delay_ms=1000 * MANY_CONNECTIONS / FIXED_RATE))
        latencies: dict[str, list[float]] = {disk: [] for disk in servers}
        for round_number in range(2 * N_ROUNDS + 1):
            for disk, running in servers.items():
                result = run_wrk(running.port, script, ROUND_SECONDS, MANY_CONNECTIONS)
                if round_number:  # the first round fills the response caches
                    latencies[disk].append(result.p99)
    ours, peer = median(latencies["failing"]), median(latencies["working"])
    note = f"target within 5% {check_mark(ours <= 1.05 * peer)}; {_range(latencies['failing'])} ms"
    title = f"p99 at {FIXED_RATE}/s with a disk that fails, one that works"
    return ResultRow(title, ours, peer, peer / ours, "ms", 2 * N_ROUNDS, note)


def folded_row(share: float) -> ResultRow:
    """Measure the latency for a visitor with ten ratings, including the client."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        matrix = write_movielens_model(folder / "fitted", sample_ratings(load_movielens("ml-1m"), share))
        rng = np.random.default_rng(0)
        requests: list[HttpRequest] = []
        for _ in range(1000):
            items = rng.choice(matrix.n_items, 10, replace=False)
            ratings = {matrix.item_ids[item]: 1.0 + int(item) % 5 for item in items}
            requests.append(("POST", "/recommend", json.dumps({"ratings": ratings})))
        environment = model_environment(folder)
        with running_server(MARQUEE, "/readyz", folder / "marquee", environment) as marquee:
            latencies = measure_latencies(marquee.port, requests)[100:]
    p50, p99 = np.percentile(latencies, [50, 99])
    note = f"target 1.5 ms {check_mark(p50 <= 1.5)}; p99 {p99:.2f} ms; {matrix.n_items} items"
    return ResultRow(
        "POST /recommend with ten ratings, p50", float(p50), None, None, "ms", len(latencies), note
    )


def million_rows(share: float) -> Iterator[ResultRow]:
    """Measure start-up, latency and memory for models of a thousand to a million users."""
    is_quick = share < 1.0
    results = []
    for n_users in MODEL_SIZES[:2] if is_quick else MODEL_SIZES:
        result, n_requests = measure_model_size(n_users)
        results.append(result)
        ready = f"ready in {result.ready_s:.1f} s, target 3 s {check_mark(result.ready_s <= 3)}"
        note = f"{ready}; p99 {result.p99:.2f} ms; {result.private_mb:.0f} MB private"
        title = f"GET /recommend/{{user}} of {n_users} users, p50"
        yield ResultRow(title, result.p50, None, None, "ms", n_requests, note)
    if not is_quick:
        FIGURE.parent.mkdir(exist_ok=True)
        draw_latency_by_users(results).savefig(FIGURE, dpi=150)


def measure_model_size(n_users: int) -> tuple[ModelSizeResult, int]:
    """Serve a model of some number of users; return the measurements and the number of requests."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_random_model(folder / "fitted", n_users)
        environment = model_environment(folder)
        environment |= {"MARQUEE_BENTO": "service.app:Marquee", "MARQUEE_HOST": "127.0.0.1"}
        users = np.random.default_rng(1).integers(0, n_users, 4000)
        requests = _get_requests([str(user) for user in users])
        with running_server(
            MARQUEE_IN_CONTAINER, "/readyz", folder / "marquee", environment, pinned=False
        ) as marquee:
            latencies = measure_latencies(marquee.port, requests)
            memory = measure_memory(marquee.pid)
    p50, p99 = np.percentile(latencies[200:], [50, 99]).tolist()
    return ModelSizeResult(n_users, marquee.ready_s, p50, p99, memory.private_mb), len(requests)


def measure_latencies(port: int, requests: Sequence[HttpRequest]) -> list[float]:
    """Return the milliseconds until each response is read, one request at a time on one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    latencies = []
    for method, path, body in requests:
        start = time.perf_counter()
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        response = connection.getresponse()
        response.read()
        latencies.append(1000 * (time.perf_counter() - start))
        assert response.status == 200, response.status
    return latencies


def response_bytes(port: int, path: str) -> int:
    """Return the size of a response body."""
    response = fetch(port, path, 10)
    assert response is not None, f"no response to {path}"
    return len(response[1])


def median_rate(results: Sequence[LoadResult]) -> float:
    """Return the median of the responses per second."""
    return median(result.rate for result in results)


def _get_requests(users: Sequence[str]) -> list[HttpRequest]:
    return [("GET", f"/recommend/{user}", None) for user in users]


def _rate_row(title: str, ours: Sequence[LoadResult], peer: Sequence[LoadResult], target: float) -> ResultRow:
    ratio = median_rate(ours) / median_rate(peer)
    note = f"target {target:g}x {check_mark(ratio >= target)}; {_range([result.rate for result in ours])}/s"
    return ResultRow(title, median_rate(ours), median_rate(peer), ratio, "1/s", len(ours), note)


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}"


PARTS: dict[str, Callable[[float], Iterable[ResultRow]]] = {
    "hot": hot_rows,
    "disk": lambda share: [disk_row(share)],
    "folded": lambda share: [folded_row(share)],
    "million": million_rows,
}

if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.serving", __doc__, PARTS))
