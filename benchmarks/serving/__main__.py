"""The serving path beside its contenders, all of them on this machine in one run.

    python -m benchmarks.serving [--quick] [--only NAME] [--json FILE]

Server and load have a core each; contenders take turns, five rounds, and medians are compared. `hot` is the
route that is asked for most, under `bentoml serve` with telemetry on; `folded` a visitor with ten ratings;
`million` a model of up to a million users, and docs/figures/serving.png. wrk and MARQUEE_DATA_DIR are needed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import surprise

from benchmarks.search import Row, ratings_of, run, sampled
from benchmarks.serving.figure import Size, draw
from benchmarks.serving.inside import in_process_rate
from benchmarks.serving.load import CONNECTIONS, Shot, draw_users, script, shoot
from benchmarks.serving.models import write_made_up, write_movielens
from benchmarks.serving.servers import Running, own_megabytes, server

OURS = ("bentoml", "serve", "service.app:Marquee", "--host", "127.0.0.1", "--port", "{port}")
PLAIN = ("bentoml", "serve", "benchmarks.contenders.bentoml_plain:Plain", "--port", "{port}")
ALONE = ("python", "deploy/container/serve.py")  # as in the container: BentoML's worker, no supervisor
ROUNDS, SECONDS = 5, 4.0
FIXED_RATE = 2000  # requests a second
FIGURE = Path(__file__).parents[2] / "docs" / "figures" / "serving.png"
Shots = Mapping[str, list[Shot]]


@dataclass(frozen=True)
class Pace:
    """How often each contender is shot at, and how long."""

    rounds: int
    seconds: float


def hot_rows(share: float) -> Iterator[Row]:
    """GET /recommend/{user}, against the constant, against itself without telemetry, and the plain ways."""
    with TemporaryDirectory() as name, ExitStack() as servers:
        home = Path(name)
        ratings = sampled(ratings_of("ml-1m"), share)
        matrix, _ = write_movielens(home / "fitted", ratings)
        told = {"MARQUEE_MODEL": str(home / "fitted"), "MARQUEE_EVENTS": str(home / "events")}
        users = draw_users(matrix.user_ids)
        gets = home / "gets.lua"
        gets.write_text(script([("GET", f"/recommend/{user}", None) for user in users]))

        def start(title: str, command: Iterable[str], ready: str, **more: str) -> Running:
            return servers.enter_context(server(tuple(command), ready, home / title, {**told, **more}))

        ours = start("ours", OURS, "/readyz")
        quiet = start("quiet", OURS, "/readyz", MARQUEE_TELEMETRY="off")
        size = len(_get(ours.port, f"/recommend/{users[0]}"))
        uvicorn = ("uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning")
        constant = start(
            "constant", (*uvicorn, "benchmarks.contenders.starlette_constant:app"), "/recommend/1",
            CONSTANT_BYTES=str(size),
        )  # fmt: skip
        plain = start(
            "plain",
            ("bentoml", "serve", "benchmarks.contenders.bentoml_plain:Plain", "--port", "{port}"),
            "/readyz",
        )
        pace = Pace(*((ROUNDS, SECONDS) if share == 1.0 else (2, 1.0)))
        fast = {"ours": ours, "quiet": quiet, "constant": constant}
        shots = in_turn({title: (each.port, gets) for title, each in fast.items()}, pace)
        rate, limit = _rate(shots["ours"]), _rate(shots["constant"])
        title = "GET /recommend/{user}"
        yield _rate_row(f"{title}, a constant from Starlette", shots["ours"], shots["constant"], 0.8)
        yield _rate_row(f"{title}, telemetry off", shots["ours"], shots["quiet"], 0.95)
        yield half_load_row(home, {"ours": ours, "constant": constant}, users, min(rate, limit) / 2)
        posts = home / "posts.lua"
        bodies = [json.dumps({"user": user}) for user in users[:2000]]
        posts.write_text(script([("POST", "/recommend", body) for body in bodies]))
        slow = in_turn({"plain": (plain.port, posts), "ours": (ours.port, gets)}, pace)
        yield _rate_row(f"{title}, plain @bentoml.api", slow["ours"], slow["plain"], 5)
        yield memory_row(ours)
        yield mlflow_row(home, users, slow["ours"], told, pace)
        yield from surprise_rows(ratings, slow["ours"], home / "fitted", users)


def in_turn(contenders: Mapping[str, tuple[int, Path]], pace: Pace) -> Shots:
    """Shoot at each in turn, after a first round that does not count."""
    shots: dict[str, list[Shot]] = {title: [] for title in contenders}
    for number in range(pace.rounds + 1):
        for title, (port, lua) in contenders.items():
            shot = shoot(port, lua, pace.seconds if number else 1)
            if number:
                shots[title].append(shot)
    return shots


def half_load_row(home: Path, contenders: Mapping[str, Running], users: list[str], rate: float) -> Row:
    """p99 at half of what the slower of both can do, arrivals at random over many connections."""
    connections = 4 * CONNECTIONS
    lua = home / "half.lua"
    requests = [("GET", f"/recommend/{user}", None) for user in users]
    lua.write_text(script(requests, delay_ms=1000 * connections / rate))
    times: dict[str, list[float]] = {title: [] for title in contenders}
    for _ in range(ROUNDS):
        for title, each in contenders.items():
            times[title].append(shoot(each.port, lua, SECONDS, connections).p99)
    ours, peer = median(times["ours"]), median(times["constant"])
    note = f"target at most 2x the constant's {_mark(ours <= 2 * peer)}; {_spread(times['ours'])} ms"
    return Row(f"p99 at half load ({rate:.0f}/s), a constant", ours, peer, peer / ours, "ms", ROUNDS, note)


def trouble_row(share: float) -> Row:
    """p99 at a fixed rate while events cannot be written at all, beside a disk that is well."""
    with TemporaryDirectory() as name, ExitStack() as servers:
        home = Path(name)
        matrix, _ = write_movielens(home / "fitted", sampled(ratings_of("ml-1m"), share))
        (home / "no-folder").write_text("a file where the folder of events should be")
        told = {"MARQUEE_MODEL": str(home / "fitted")}
        places = {"failing": home / "no-folder", "well": home / "events"}
        running = {
            title: servers.enter_context(
                server(OURS, "/readyz", home / title, {**told, "MARQUEE_EVENTS": str(place)})
            )
            for title, place in places.items()
        }
        connections, lua = 4 * CONNECTIONS, home / "fixed.lua"
        requests = [("GET", f"/recommend/{user}", None) for user in draw_users(matrix.user_ids)]
        lua.write_text(script(requests, delay_ms=1000 * connections / FIXED_RATE))
        times: dict[str, list[float]] = {title: [] for title in running}
        for number in range(2 * ROUNDS + 1):
            for title, each in running.items():
                shot = shoot(each.port, lua, SECONDS, connections)
                if number:  # the first round fills the shelves
                    times[title].append(shot.p99)
        ours, peer = median(times["failing"]), median(times["well"])
    note = f"target within 5% {_mark(ours <= 1.05 * peer)}; {_spread(times['failing'])} ms"
    what = f"p99 at {FIXED_RATE}/s with a disk that fails, one that is well"
    return Row(what, ours, peer, peer / ours, "ms", 2 * ROUNDS, note)


def memory_row(ours: Running) -> Row:
    """Memory of the replica with its supervisor."""
    own, pss = own_megabytes(ours.pid)
    note = f"target 180 MB of its own {_mark(own <= 180)}; PSS {pss:.0f} MB"
    return Row("memory of a replica with its supervisor", own, None, None, "MB", 1, note)


def mlflow_row(home: Path, users: list[str], ours: list[Shot], told: Mapping[str, str], pace: Pace) -> Row:
    """`mlflow models serve` of the same model."""
    folder = home / "mlflow-model"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.contenders.mlflow_model", str(folder)],
        check=True, capture_output=True, cwd=FIGURE.parents[2],
    )  # fmt: skip
    options = ("-m", str(folder), "--env-manager", "local", "--port", "{port}", "-w", "1")
    lua = home / "mlflow.lua"
    lua.write_text(
        script([("POST", "/invocations", json.dumps({"inputs": [user]})) for user in users[:2000]])
    )
    with server(("mlflow", "models", "serve", *options), "/ping", home / "mlflow", told) as theirs:
        shots = in_turn({"mlflow": (theirs.port, lua)}, pace)["mlflow"]
    return _rate_row("GET /recommend/{user}, mlflow models serve", ours, shots, 10)


def surprise_rows(ratings: pd.DataFrame, ours: list[Shot], folder: Path, users: list[str]) -> Iterator[Row]:
    """Surprise's predict over all items, then a sort: in process, beside ours over HTTP and in process."""
    reader = surprise.Reader(rating_scale=(1, 5))
    rated = surprise.Dataset.load_from_df(ratings[["user", "item", "rating"]], reader).build_full_trainset()
    algorithm = surprise.SVD(n_factors=64, n_epochs=1).fit(rated)
    items, times = ratings["item"].unique().tolist(), []
    for user in ratings["user"].unique()[:20].tolist():
        began = time.perf_counter()
        estimates = [(algorithm.predict(user, item).est, item) for item in items]
        sorted(estimates, reverse=True)
        times.append(time.perf_counter() - began)
    peer = 1 / median(times)
    for what, rate, n in (
        ("GET /recommend/{user} over HTTP", _rate(ours), len(ours)),
        ("the same in process, telemetry on", in_process_rate(folder, users), len(users)),
    ):
        note = f"target 1000x {_mark(rate / peer >= 1000)}; Surprise in process, without a server"
        yield Row(f"{what}, Surprise's predict and sort", rate, peer, rate / peer, "1/s", n, note)


def folded_row(share: float) -> Row:
    """A visitor with ten ratings, end to end from the other core."""
    with TemporaryDirectory() as name:
        home = Path(name)
        matrix, _ = write_movielens(home / "fitted", sampled(ratings_of("ml-1m"), share))
        told = {"MARQUEE_MODEL": str(home / "fitted"), "MARQUEE_EVENTS": str(home / "events")}
        rng = np.random.default_rng(0)
        bodies = [
            json.dumps(
                {
                    "ratings": {
                        matrix.item_ids[i]: 1.0 + i % 5 for i in rng.choice(matrix.n_items, 10, replace=False)
                    }
                }
            )
            for _ in range(1000)
        ]
        with server(OURS, "/readyz", home / "ours", told) as ours:
            times = asked_in_turn(ours.port, [("POST", "/recommend", body) for body in bodies])[100:]
    p50, p99 = np.percentile(times, [50, 99])
    note = f"target 1.5 ms {_mark(p50 <= 1.5)}; p99 {p99:.2f} ms; {matrix.n_items} items"
    return Row("POST /recommend with ten ratings, p50", float(p50), None, None, "ms", len(times), note)


def million_rows(share: float) -> Iterator[Row]:
    """Models of a thousand to a million users: start, and latency over users drawn evenly."""
    sizes = [1_000, 10_000, 100_000, 1_000_000] if share == 1.0 else [1_000, 10_000]
    found = []
    for n_users in sizes:
        with TemporaryDirectory() as name:
            home = Path(name)
            write_made_up(home / "fitted", n_users)
            told = {"MARQUEE_MODEL": str(home / "fitted"), "MARQUEE_EVENTS": str(home / "events")}
            users = np.random.default_rng(1).integers(0, n_users, 4000)
            told |= {"MARQUEE_BENTO": "service.app:Marquee", "MARQUEE_HOST": "127.0.0.1"}
            with server(ALONE, "/readyz", home / "ours", told, pinned=False) as ours:
                times = asked_in_turn(ours.port, [("GET", f"/recommend/{user}", None) for user in users])
                own, _ = own_megabytes(ours.pid)
                p50, p99 = np.percentile(times[200:], [50, 99]).tolist()
                found.append(size := Size(n_users, ours.ready_s, p50, p99, own))
        ready = f"ready in {size.ready_s:.1f} s, target 3 s {_mark(size.ready_s <= 3)}"
        note = f"{ready}; p99 {p99:.2f} ms; {own:.0f} MB of its own"
        yield Row(f"GET /recommend/{{user}} of {n_users} users, p50", p50, None, None, "ms", len(users), note)
    if share == 1.0:
        FIGURE.parent.mkdir(exist_ok=True)
        draw(found).savefig(FIGURE, dpi=150)


def asked_in_turn(port: int, requests: list[tuple[str, str, str | None]]) -> list[float]:
    """Milliseconds of each request, one after the other over one connection, after the answer is read."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    times = []
    for method, path, body in requests:
        began = time.perf_counter()
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        answer = connection.getresponse()
        answer.read()
        times.append(1000 * (time.perf_counter() - began))
        assert answer.status == 200, answer.status
    return times


def _get(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return connection.getresponse().read()


def _rate_row(what: str, ours: list[Shot], peer: list[Shot], target: float) -> Row:
    ratio = _rate(ours) / _rate(peer)
    rates = [shot.rate for shot in ours]
    note = f"target {target:g}x {_mark(ratio >= target)}; {_spread(rates)}/s"
    return Row(what, _rate(ours), _rate(peer), ratio, "1/s", len(ours), note)


def _rate(shots: list[Shot]) -> float:
    return median(shot.rate for shot in shots)


def _spread(values: list[float]) -> str:
    return f"{min(values):.4g} to {max(values):.4g}"


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"


PARTS: dict[str, Callable[[float], Iterable[Row]]] = {
    "hot": hot_rows,
    "trouble": lambda share: [trouble_row(share)],
    "folded": lambda share: [folded_row(share)],
    "million": million_rows,
}

if __name__ == "__main__":
    sys.exit(run("python -m benchmarks.serving", __doc__, PARTS))
