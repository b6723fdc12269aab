"""A site with users whose taste is known: a project, versions of a model for it, and a crowd that clicks."""

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments.tracking.data_version import DataVersion
from experiments.tracking.registry import champion, register
from experiments.tracking.runs import Tracker
from marquee.model.fitted_model import write_model
from pipelines.rollout.journal import Journal, journals
from pipelines.support.paths import RUN
from service.stack.launch import pid_of
from service.stack.stack_config import Stack, load_stack
from service.telemetry.reader import read_events
from tests.support.models import small_arrays
from tests.support.openapi_checks import DESCRIPTION

ROOT = Path(__file__).parents[2]
USERS, ITEMS, LISTED, LIKED = 400, 60, 5, 10
CLICKS = {True: 0.15, False: 0.02}  # probability, by whether the user likes the item
TAGS = {"algorithm": "svd", "parameters": "{}"}
QUICK: Mapping[str, Any] = {  # a rollout of half a minute
    "steps": [0.1, 0.5, 1],
    "window_minutes": 0.05,
    "step_minutes": 0.1,
    "step_users": 20,
    "quality_users": 40,
    "drift_users": 20,
    "stale_seconds": 30,
    "unhealthy_seconds": 20,
    # A machine that runs other tests too is slow now and then, and a single replica more than two.
    "tolerance": {
        "errors": 1.5,
        "slow": 100.0,
        "below_personal": 1.5,
        "empty": 1.0,
        "popularity": 0.02,
        "overlap": 0.2,
    },
    "deadline_hours": 1,
}


def liked(user: int) -> list[int]:
    """What a user likes: the ground truth."""
    return np.random.default_rng(user).permutation(ITEMS)[:LIKED].tolist()


def lists_of(good: int) -> dict[str, tuple[list[int], list[int]]]:
    """For each user so many items that they like, and others."""
    users = {}
    for user in range(USERS):
        order = np.random.default_rng(user).permutation(ITEMS).tolist()
        pleasing, others = order[:LIKED], order[LIKED + 1 :]
        users[f"u{user}"] = ([order[LIKED]], pleasing[:good] + others[: LISTED - good])
    return users


class Site:
    """A project with a registry and a Bento store of its own, whose stack can be brought up."""

    def __init__(self, folder: Path, **canary: Any) -> None:
        self.folder = folder
        for name in ("marquee", "service", "requirements", "deploy"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["canary"] |= {**QUICK, **canary}
        params["gateway"] |= {"requests_per_10s": 1_000_000, "timeout_ms": 2000}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        self.settings = {
            "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "DVC_ROOT": str(folder),
        }
        self.port = free_port()

    @property
    def run(self) -> Path:
        """Where the stack's files are."""
        return (self.folder / RUN).resolve()

    @property
    def stack(self) -> Stack:
        """As it was laid out."""
        return load_stack(self.run)

    def register(self, title: str, good: int) -> int:
        """A version that recommends so many liked items of five; its number."""
        users = lists_of(good)
        names = [f"i{item}" for item in range(ITEMS)]
        arrays = small_arrays(users, names, titles=[title, *names[1:]], width=LISTED)
        model = self.folder / "made" / title
        digest = write_model(model, arrays, DESCRIPTION).digest
        run = Tracker("test").start_search(title, DataVersion("demo", "0" * 36, "data/raw"), {}, {})
        return register("marquee", model, digest, run, TAGS)[0].version

    def marquee(self, *arguments: str, fails: bool = False) -> str:
        """`marquee ...`, and what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr + self.logs()
        return done.stdout + done.stderr

    def up(self, *options: str) -> str:
        """Bring the stack up, and return what was printed."""
        return self.marquee("up", "--port", str(self.port), *options)

    def logs(self) -> str:
        """The end of every log."""
        found = sorted((self.run / "logs").glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in found)

    def pid(self, name: str) -> int:
        """Of a process of the stack."""
        found = pid_of(self.run, name)
        assert found is not None, f"{name} is not running"
        return found[0]

    def journal(self) -> Journal:
        """Of the last rollout."""
        return journals(self.run)[-1]

    def wait_until_ended(self, seconds: float = 120) -> str:
        """Until the last rollout is over; its outcome."""
        wait_until(lambda: not self.journal().rollout().running, seconds, self.logs)
        return str(self.journal().rollout().outcome)

    def wait_for_events(self) -> None:
        """Until a hundred lists are on disk."""
        wait_until(lambda: sum(1 for _ in read_events(self.stack.events)) > 100, 30, self.logs)

    def champion(self) -> int:
        """The version that the registry calls so."""
        found = champion("marquee")
        assert found is not None
        return found.version

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Ask the gateways."""
        return request(self.port, "GET", path, None, headers or {})


@contextmanager
def site(monkeypatch: pytest.MonkeyPatch, **canary: Any) -> Iterator[Site]:
    """A site in a short folder, for sockets' names are short; it ends with the test."""
    with tempfile.TemporaryDirectory(prefix="mq-") as folder:
        here = Site(Path(folder), **canary)
        for name, value in here.settings.items():
            if name != "PYTHONPATH":
                monkeypatch.setenv(name, value)
        try:
            yield here
        finally:
            if (here.run / "stack.json").exists():
                here.marquee("down")


class Crowd:
    """Users who ask for lists and click what they like, until it is told to stop."""

    def __init__(self, here: Site, threads: int = 2) -> None:
        self._site = here
        self._key = (here.run / "api-key").read_text()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(n,), daemon=True) for n in range(threads)]
        self.answers: Counter[int] = Counter()  # by status; 0: no answer after two retries
        self.arms: dict[str, list[str]] = {}  # by user: the arms that answered, in order

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def served(self) -> float:
        """Share of the requests that were answered with a list."""
        return self.answers[200] / max(self.answers.total(), 1)

    def _visit(self, seed: int) -> None:
        rng, number = random.Random(seed), 0
        while not self._stop.is_set():
            user = rng.randrange(USERS)
            status, headers, body = self._ask("GET", f"/recommend/u{user}?n={LISTED}", None)
            self.answers[status] += 1
            if status == 200:
                arms = self.arms.setdefault(f"u{user}", [])
                if not arms or arms[-1] != headers["x-arm"]:
                    arms.append(headers["x-arm"])
                listed = [int(each["item"][1:]) for each in json.loads(body)["items"][:LISTED]]
                pleasing = set(liked(user))
                for item in listed:
                    if rng.random() < CLICKS[item in pleasing]:
                        number += 1
                        event = {"event_id": f"{seed}-{number}", "user": f"u{user}", "item": f"i{item}"}
                        self._ask("POST", "/feedback", json.dumps({**event, "kind": "click"}))
            time.sleep(0.004)

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, str], bytes]:
        headers = {"x-api-key": self._key, "content-type": "application/json"}
        for _ in range(3):
            try:
                return request(self._site.port, method, path, body, headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        return 0, {}, b""


def request(
    port: int, method: str, path: str, body: str | None, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def wait_until(true: Any, seconds: float, explain: Any = str) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s\n{explain()}")
        time.sleep(0.1)


def free_port() -> int:
    """That nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
