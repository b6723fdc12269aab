"""Benchmark of the serving path: Marquee and other ways to serve the same model, on one machine in one run.

    python -m benchmarks.serving [--quick] [--only NAME] [--json FILE]

Server and load generator have one core each. Contenders take turns, and medians of five rounds are compared.

    hot       GET /recommend/{user} under `bentoml serve` with telemetry on
    disk      latency while events cannot be written to disk
    folded    POST /recommend for a visitor with ten ratings
    live      GET /recommend/{user} for users with new feedback: 27,000 items are scored for each response
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
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import surprise

from benchmarks.command_line import run_benchmark
from benchmarks.ratings import load_movielens, sample_ratings
from benchmarks.result_rows import ResultRow, format_check_mark
from benchmarks.serving.in_process_rate import measure_in_process_rate
from benchmarks.serving.latency_figure import ModelSizeResult, draw_latency_by_users
from benchmarks.serving.load_generator import (
    CONNECTIONS,
    HttpRequest,
    LoadResult,
    build_wrk_script,
    draw_users,
    run_wrk,
)
from benchmarks.serving.models import (
    N_ITEMS,
    draw_factors,
    draw_item_weights,
    write_movielens_model,
    write_random_model,
)
from benchmarks.serving.servers import RunningServer, measure_memory, running_server
from marquee.model.scorers.stored_scorer import StoredScorer
from service.stack.health_checks import fetch

ROOT = Path(__file__).parents[2]
FIGURE = ROOT / "docs" / "figures" / "serving.png"
MARQUEE = ("bentoml", "serve", "service.app:Marquee", "--host", "127.0.0.1", "--port", "{port}")
MARQUEE_IN_CONTAINER = ("python", "deploy/container/serve.py")  # BentoML's worker without the supervisor
PLAIN_BENTOML = ("bentoml", "serve", "benchmarks.contenders.plain_bentoml:Plain", "--port", "{port}")
STARLETTE = (
    "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning",
    "benchmarks.contenders.starlette_constant:app",
)  # fmt: skip
N_ROUNDS, ROUND_SECONDS = 5, 4.0
N_QUICK_ROUNDS, QUICK_ROUND_SECONDS = 2, 1.0
WARM_UP_SECONDS = 1.0
MANY_CONNECTIONS = 4 * CONNECTIONS
FIXED_RATE = 2000  # requests per second
LIVE_RATE, MAX_LIVE_P99_MS = 500, 5.0  # requests per second, target
N_LIVE_USERS, N_LIVE_HISTORY_ITEMS, N_NEW_RATINGS = 2000, 100, 5
N_POSTS = 2000  # requests in the scripts of slow servers
MIN_SURPRISE_SPEEDUP = 1000  # target
MAX_REPLICA_MB, MAX_FOLD_IN_MS, MAX_READY_S = 180, 1.5, 3  # targets
MODEL_SIZES = (1_000, 10_000, 100_000, 1_000_000)  # users
LoadResults = Mapping[str, list[LoadResult]]


@dataclass(frozen=True)
class Rounds:
    """Number and duration of the rounds in which each contender is measured."""

    number: int
    seconds: float


@dataclass(frozen=True)
class HotRouteInputs:
    """Model, users and rounds for the contenders on the hot route."""

    folder: Path
    ratings: pd.DataFrame
    users: Sequence[str]  # drawn for the requests
    rounds: Rounds

    @property
    def model(self) -> Path:
        """Folder of the fitted model."""
        return self.folder / "fitted"

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables of a server of the model."""
        return make_model_environment(self.folder)


def make_model_environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a replica that serves the model `fitted` in a folder."""
    return {"MARQUEE_MODEL": str(folder / "fitted"), "MARQUEE_EVENTS": str(folder / "events")}


def measure_hot_route(share: float) -> Iterator[ResultRow]:
    """Compare GET /recommend/{user} with Marquee without telemetry, a constant response and plain servers."""
    with TemporaryDirectory() as name, ExitStack() as servers:
        folder = Path(name)
        ratings = sample_ratings(load_movielens("ml-1m"), share)
        matrix = write_movielens_model(folder / "fitted", ratings)
        is_quick = share < 1.0
        rounds = Rounds(N_QUICK_ROUNDS, QUICK_ROUND_SECONDS) if is_quick else Rounds(N_ROUNDS, ROUND_SECONDS)
        inputs = HotRouteInputs(folder, ratings, draw_users(matrix.user_ids), rounds)

        def start(title: str, command: Sequence[str], health_path: str, **settings: str) -> RunningServer:
            environment = {**inputs.environment, **settings}
            return servers.enter_context(running_server(command, health_path, folder / title, environment))

        marquee = start("marquee", MARQUEE, "/readyz")
        without_telemetry = start("without-telemetry", MARQUEE, "/readyz", MARQUEE_TELEMETRY="off")
        n_bytes = measure_response_bytes(marquee.port, f"/recommend/{inputs.users[0]}")
        constant = start("constant", STARLETTE, "/recommend/1", CONSTANT_BYTES=str(n_bytes))
        yield from compare_with_fast_servers(inputs, marquee, without_telemetry, constant)
        plain_bentoml = start("plain-bentoml", PLAIN_BENTOML, "/readyz")
        yield from compare_with_slow_servers(inputs, marquee, plain_bentoml)


def compare_with_fast_servers(
    inputs: HotRouteInputs, marquee: RunningServer, without_telemetry: RunningServer, constant: RunningServer
) -> Iterator[ResultRow]:
    """Compare with a constant response and with Marquee without telemetry."""
    title = "GET /recommend/{user}"
    gets = write_get_script(inputs)
    servers = {"marquee": marquee, "without telemetry": without_telemetry, "constant": constant}
    results = measure_in_turns({name: (server.port, gets) for name, server in servers.items()}, inputs.rounds)
    yield _rate_row(
        f"{title}, a constant from Starlette", results["marquee"], results["constant"], target=0.8
    )
    yield _rate_row(f"{title}, telemetry off", results["marquee"], results["without telemetry"], target=0.95)
    rate = min(median_rate(results["marquee"]), median_rate(results["constant"]))
    yield compare_at_half_load(inputs, marquee, constant, rate / 2)


def compare_with_slow_servers(
    inputs: HotRouteInputs, marquee: RunningServer, plain_bentoml: RunningServer
) -> Iterator[ResultRow]:
    """Compare with servers that score all items for each request."""
    posts = inputs.folder / "posts.lua"
    requests = [("POST", "/recommend", json.dumps({"user": user})) for user in inputs.users[:N_POSTS]]
    posts.write_text(build_wrk_script(requests))
    contenders = {
        "plain BentoML": (plain_bentoml.port, posts),
        "marquee": (marquee.port, write_get_script(inputs)),
    }
    results = measure_in_turns(contenders, inputs.rounds)
    title = "GET /recommend/{user}, plain @bentoml.api"
    yield _rate_row(title, results["marquee"], results["plain BentoML"], target=5)
    yield measure_replica_memory(marquee)
    yield compare_with_mlflow(inputs, results["marquee"])
    yield from compare_with_surprise(inputs, results["marquee"])


def write_get_script(inputs: HotRouteInputs) -> Path:
    """Write the wrk script of GET requests for the drawn users."""
    script = inputs.folder / "gets.lua"
    script.write_text(build_wrk_script(_get_requests(inputs.users)))
    return script


def measure_in_turns(contenders: Mapping[str, tuple[int, Path]], rounds: Rounds) -> LoadResults:
    """Measure each contender (port and wrk script) in every round, after a warm-up round."""
    results: dict[str, list[LoadResult]] = {name: [] for name in contenders}
    for port, script in contenders.values():
        run_wrk(port, script, WARM_UP_SECONDS)
    for _ in range(rounds.number):
        for name, (port, script) in contenders.items():
            results[name].append(run_wrk(port, script, rounds.seconds))
    return results


def compare_at_half_load(
    inputs: HotRouteInputs, marquee: RunningServer, constant: RunningServer, rate: float
) -> ResultRow:
    """Compare p99 with that of a constant response: random arrivals at half the rate of the slower server."""
    script = inputs.folder / "half.lua"
    delay_ms = 1000 * MANY_CONNECTIONS / rate
    script.write_text(build_wrk_script(_get_requests(inputs.users), delay_ms=delay_ms))
    latencies: dict[str, list[float]] = {"marquee": [], "constant": []}
    for _ in range(N_ROUNDS):
        for name, server in (("marquee", marquee), ("constant", constant)):
            latencies[name].append(run_wrk(server.port, script, ROUND_SECONDS, MANY_CONNECTIONS).p99)
    ours, peer = median(latencies["marquee"]), median(latencies["constant"])
    target = f"target at most 2x the constant's {format_check_mark(ours <= 2 * peer)}"
    note = f"{target}; {_range(latencies['marquee'])} ms"
    return ResultRow(
        f"p99 at half load ({rate:.0f}/s), a constant",
        ours,
        "ms",
        N_ROUNDS,
        note,
        peer=peer,
        ratio=peer / ours,
    )


def measure_replica_memory(marquee: RunningServer) -> ResultRow:
    """Measure the memory of a replica and its supervisor."""
    memory = measure_memory(marquee.pid)
    target = f"target {MAX_REPLICA_MB} MB private {format_check_mark(memory.private_mb <= MAX_REPLICA_MB)}"
    note = f"{target}; PSS {memory.pss_mb:.0f} MB"
    return ResultRow("memory of a replica with its supervisor", memory.private_mb, "MB", 1, note)


def compare_with_mlflow(inputs: HotRouteInputs, marquee: Sequence[LoadResult]) -> ResultRow:
    """Compare with `mlflow models serve` of the same model."""
    folder = inputs.folder / "mlflow-model"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.contenders.mlflow_model", str(folder)],
        check=True, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    script = inputs.folder / "mlflow.lua"
    requests = [("POST", "/invocations", json.dumps({"inputs": [user]})) for user in inputs.users[:N_POSTS]]
    script.write_text(build_wrk_script(requests))
    options = ("-m", str(folder), "--env-manager", "local", "--port", "{port}", "-w", "1")
    command = ("mlflow", "models", "serve", *options)
    with running_server(command, "/ping", inputs.folder / "mlflow", inputs.environment) as mlflow:
        results = measure_in_turns({"mlflow": (mlflow.port, script)}, inputs.rounds)["mlflow"]
    return _rate_row("GET /recommend/{user}, mlflow models serve", marquee, results, target=10)


def compare_with_surprise(inputs: HotRouteInputs, marquee: Sequence[LoadResult]) -> Iterator[ResultRow]:
    """Compare with Surprise in process, which predicts all items of a user and sorts them."""
    peer = measure_surprise_rate(inputs.ratings)
    for title, rate, n in (
        ("GET /recommend/{user} over HTTP", median_rate(marquee), len(marquee)),
        (
            "the same in process, telemetry on",
            measure_in_process_rate(inputs.model, inputs.users),
            len(inputs.users),
        ),
    ):
        mark = format_check_mark(rate / peer >= MIN_SURPRISE_SPEEDUP)
        note = f"target {MIN_SURPRISE_SPEEDUP}x {mark}; Surprise in process, without a server"
        yield ResultRow(
            f"{title}, Surprise's predict and sort", rate, "1/s", n, note, peer=peer, ratio=rate / peer
        )


def measure_surprise_rate(ratings: pd.DataFrame) -> float:
    """Return the number of users per second for whom Surprise ranks all items."""
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


def compare_with_failing_disk(share: float) -> ResultRow:
    """Compare p99 at a fixed rate while no event can be written with p99 on a working disk."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        matrix = write_movielens_model(folder / "fitted", sample_ratings(load_movielens("ml-1m"), share))
        not_a_folder = folder / "not-a-folder"
        not_a_folder.write_text("a file where the folder of events should be")
        servers = {}
        for disk, events in (("failing", not_a_folder), ("working", folder / "events")):
            environment = {**make_model_environment(folder), "MARQUEE_EVENTS": str(events)}
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
    note = f"target within 5% {format_check_mark(ours <= 1.05 * peer)}; {_range(latencies['failing'])} ms"
    title = f"p99 at {FIXED_RATE}/s with a disk that fails, one that works"
    return ResultRow(title, ours, "ms", 2 * N_ROUNDS, note, peer=peer, ratio=peer / ours)


def measure_visitor_latency(share: float) -> ResultRow:
    """Measure the latency of POST /recommend for a visitor with ten ratings, as seen by the client."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        matrix = write_movielens_model(folder / "fitted", sample_ratings(load_movielens("ml-1m"), share))
        rng = np.random.default_rng(0)
        requests: list[HttpRequest] = []
        for _ in range(1000):
            items = rng.choice(matrix.n_items, 10, replace=False)
            ratings = {matrix.item_ids[item]: 1.0 + int(item) % 5 for item in items}
            requests.append(("POST", "/recommend", json.dumps({"ratings": ratings})))
        environment = make_model_environment(folder)
        with running_server(MARQUEE, "/readyz", folder / "marquee", environment) as marquee:
            latencies = measure_latencies(marquee.port, requests)[100:]  # without the warm-up
    p50, p99 = np.percentile(latencies, [50, 99])
    target = f"target {MAX_FOLD_IN_MS} ms {format_check_mark(p50 <= MAX_FOLD_IN_MS)}"
    note = f"{target}; p99 {p99:.2f} ms; {matrix.n_items} items"
    return ResultRow("POST /recommend with ten ratings, p50", float(p50), "ms", len(latencies), note)


def measure_live_latency(share: float) -> ResultRow:
    """Measure p99 of lists that are computed for users with new feedback, at a fixed rate.

    Factors and item weights take turns; the slower one counts. Caching is avoided by a query string.
    """
    is_quick = share < 1.0
    n_rounds = N_QUICK_ROUNDS if is_quick else N_ROUNDS
    scorers: dict[str, StoredScorer] = {
        "factors": draw_factors(N_LIVE_USERS, N_ITEMS),
        "item weights": draw_item_weights(N_ITEMS),
    }
    results: dict[str, list[LoadResult]] = {}
    for name, recommender in scorers.items():
        with TemporaryDirectory() as folder_name:
            folder = Path(folder_name)
            write_random_model(
                folder / "fitted",
                N_LIVE_USERS,
                recommender=recommender,
                seen_items_per_user=N_LIVE_HISTORY_ITEMS,
            )
            results[name] = measure_live_rounds(folder, n_rounds)
    medians = {name: median(result.p99 for result in each) for name, each in results.items()}
    slower = max(medians, key=medians.__getitem__)
    rate = median_rate(results[slower])
    mark = format_check_mark(medians[slower] <= MAX_LIVE_P99_MS)
    p99s = "; ".join(f"{name} {_range([each.p99 for each in results[name]])} ms" for name in medians)
    note = f"target {MAX_LIVE_P99_MS:g} ms {mark}; {rate:.0f}/s; {p99s}; {N_ITEMS} items"
    return ResultRow("computed live p99", medians[slower], "ms", n_rounds, note)


def measure_live_rounds(folder: Path, n_rounds: int) -> list[LoadResult]:
    """Serve the model in a folder, give every user new feedback, and measure rounds of requests."""
    environment = make_model_environment(folder)
    environment |= {"MARQUEE_BENTO": "service.app:Marquee", "MARQUEE_HOST": "127.0.0.1"}
    users = [str(number) for number in range(N_LIVE_USERS)]
    script = folder / "live.lua"
    requests: list[HttpRequest] = [("GET", f"/recommend/{user}?n=10", None) for user in users]
    script.write_text(build_wrk_script(requests, delay_ms=1000 * MANY_CONNECTIONS / LIVE_RATE))
    with running_server(
        MARQUEE_IN_CONTAINER, "/readyz", folder / "marquee", environment, pinned=False
    ) as server:
        measure_latencies(server.port, [*_feedback_requests(users)])
        response = fetch(server.port, f"/recommend/{users[0]}?n=10", 10)
        assert response is not None
        assert json.loads(response[1])["fallback_level"] == "live"
        run_wrk(server.port, script, WARM_UP_SECONDS, MANY_CONNECTIONS)
        return [run_wrk(server.port, script, ROUND_SECONDS, MANY_CONNECTIONS) for _ in range(n_rounds)]


def _feedback_requests(users: Sequence[str]) -> Iterator[HttpRequest]:
    """Yield requests that give each user ratings of new items."""
    rng = np.random.default_rng(2)
    for user in users:
        events = [
            {"event_id": f"{user}-{item}", "user": user, "item": f"i{item}", "kind": "rating", "value": 5}
            for item in rng.integers(0, N_ITEMS, N_NEW_RATINGS)
        ]
        yield "POST", "/feedback", json.dumps(events)


def measure_model_sizes(share: float) -> Iterator[ResultRow]:
    """Measure startup, latency and memory for models of a thousand to a million users."""
    is_quick = share < 1.0
    results = []
    for n_users in MODEL_SIZES[:2] if is_quick else MODEL_SIZES:
        result, n_requests = measure_model_size(n_users)
        results.append(result)
        mark = format_check_mark(result.ready_s <= MAX_READY_S)
        ready = f"ready in {result.ready_s:.1f} s, target {MAX_READY_S} s {mark}"
        note = f"{ready}; p99 {result.p99:.2f} ms; {result.private_mb:.0f} MB private"
        title = f"GET /recommend/{{user}} of {n_users} users, p50"
        yield ResultRow(title, result.p50, "ms", n_requests, note)
    if not is_quick:
        FIGURE.parent.mkdir(exist_ok=True)
        draw_latency_by_users(results).savefig(FIGURE, dpi=150)


def measure_model_size(n_users: int) -> tuple[ModelSizeResult, int]:
    """Serve a random model of `n_users` users; return the measurements and the number of requests."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_random_model(folder / "fitted", n_users)
        environment = make_model_environment(folder)
        environment |= {"MARQUEE_BENTO": "service.app:Marquee", "MARQUEE_HOST": "127.0.0.1"}
        users = np.random.default_rng(1).integers(0, n_users, 4000)
        requests = _get_requests([str(user) for user in users])
        with running_server(
            MARQUEE_IN_CONTAINER, "/readyz", folder / "marquee", environment, pinned=False
        ) as marquee:
            latencies = measure_latencies(marquee.port, requests)
            memory = measure_memory(marquee.pid)
    p50, p99 = np.percentile(latencies[200:], [50, 99]).tolist()  # without the warm-up
    return ModelSizeResult(n_users, marquee.ready_s, p50, p99, memory.private_mb), len(requests)


def measure_latencies(port: int, requests: Sequence[HttpRequest]) -> list[float]:
    """Return the milliseconds until each response is read; one connection sends one request at a time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    latencies = []
    for method, path, body in requests:
        start = time.perf_counter()
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        response = connection.getresponse()
        response.read()
        latencies.append(1000 * (time.perf_counter() - start))
        assert response.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, response.status
    return latencies


def measure_response_bytes(port: int, path: str) -> int:
    """Return the size of the response body of a path."""
    response = fetch(port, path, 10)
    assert response is not None, f"no response to {path}"
    return len(response[1])


def median_rate(results: Sequence[LoadResult]) -> float:
    """Return the median of the responses per second over the rounds."""
    return median(result.rate for result in results)


def _get_requests(users: Sequence[str]) -> list[HttpRequest]:
    return [("GET", f"/recommend/{user}", None) for user in users]


def _rate_row(
    title: str, ours: Sequence[LoadResult], peer: Sequence[LoadResult], *, target: float
) -> ResultRow:
    ratio = median_rate(ours) / median_rate(peer)
    rates = _range([result.rate for result in ours])
    note = f"target {target:g}x {format_check_mark(ratio >= target)}; {rates}/s"
    return ResultRow(title, median_rate(ours), "1/s", len(ours), note, peer=median_rate(peer), ratio=ratio)


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}"


PARTS: dict[str, Callable[[float], Iterable[ResultRow]]] = {
    "hot": measure_hot_route,
    "disk": lambda share: [compare_with_failing_disk(share)],
    "folded": lambda share: [measure_visitor_latency(share)],
    "live": lambda share: [measure_live_latency(share)],
    "million": measure_model_sizes,
}

if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.serving", __doc__, PARTS))
