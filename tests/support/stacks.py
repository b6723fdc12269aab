"""Stack of a temporary project, and simulated users with known preferences who click on recommendations."""

import http.client
import itertools
import json
import os
import random
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

from experiments.tracking.data_version import DataVersion
from experiments.tracking.model_registry import find_champion, register_version
from experiments.tracking.runs import ExperimentTracker
from marquee.model.fitted_model import write_model
from pipelines.rollout.journal import Journal, list_journals
from pipelines.support.paths import STACK_FOLDER
from service.stack.pid_files import find_process
from service.stack.stack_config import StackConfig, find_free_ports, load_stack_config
from service.telemetry.reader import read_events
from tests.support.commands import run_command
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.model_builder import build_small_model_arrays
from tests.support.packaging_project import copy_sources
from tests.support.params import write_changed_params
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
N_USERS, N_ITEMS, LIST_LENGTH, N_LIKED = 400, 60, 5, 10
CLICK_PROBABILITY = {True: 0.15, False: 0.02}  # by whether the user likes the item
CLIENT_TIMEOUT_S, N_ATTEMPTS = 2, 3
TAGS = {"algorithm": "svd", "parameters": "{}"}
QUICK_ROLLOUT: Mapping[str, Any] = {  # parameters of a rollout that takes half a minute
    "steps": [0.1, 0.5, 1],
    "attribution_window_minutes": 0.05,
    "min_step_minutes": 0.1,
    "min_step_users": 20,
    "min_quality_users": 40,
    "min_list_users": 20,
    "stale_seconds": 30,
    "unhealthy_seconds": 20,
    # High limit for slow responses: the machine may run other tests at the same time.
    "max_odds_ratio": {"errors": 1.5, "slow": 100.0, "below_personal": 1.5, "empty": 1.0},
    "max_increase": {"popularity": 0.02, "overlap": 0.2},
    "deadline_hours": 1,
}


def liked_items(user: int) -> list[int]:
    """Return the items that a user likes: the ground truth of the simulation."""
    return _permute_items(user)[:N_LIKED]


def make_seen_items_and_lists(n_liked: int) -> dict[str, tuple[list[int], list[int]]]:
    """Return seen items and recommended items by user; the user likes `n_liked` of the recommended items."""
    users = {}
    for user in range(N_USERS):
        items = _permute_items(user)
        liked, seen, others = items[:N_LIKED], items[N_LIKED], items[N_LIKED + 1 :]
        users[f"u{user}"] = ([seen], liked[:n_liked] + others[: LIST_LENGTH - n_liked])
    return users


def _permute_items(user: int) -> list[int]:
    items: list[int] = np.random.default_rng(user).permutation(N_ITEMS).tolist()
    return items


class StackProject:
    """Project with a model registry, a Bento store and a stack of its own."""

    def __init__(self, folder: Path, **canary: Any) -> None:
        """Create the project.

        Args:
            folder: existing folder for the project.
            **canary: parameters of the block `canary` that differ from `QUICK_ROLLOUT` and params.yaml.
        """
        self.folder = folder
        copy_sources(folder)
        limits = {"requests_per_10s": 1_000_000, "timeout_ms": 2000}
        write_changed_params(
            folder / "params.yaml",
            lambda tree: (tree["canary"].update({**QUICK_ROLLOUT, **canary}), tree["gateway"].update(limits)),
        )
        self.environment = {
            "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "DVC_ROOT": str(folder),
        }
        self.port = find_free_ports(1)[0]

    @property
    def run_folder(self) -> Path:
        """Folder of the stack's files."""
        return (self.folder / STACK_FOLDER).resolve()

    @property
    def stack(self) -> StackConfig:
        """Configuration of the stack."""
        return load_stack_config(self.run_folder)

    def register_version(self, title: str, n_liked: int) -> int:
        """Register a model that recommends `n_liked` liked items to each user, and return its version."""
        items = [f"i{item}" for item in range(N_ITEMS)]
        titles = [title, *items[1:]]
        arrays = build_small_model_arrays(
            make_seen_items_and_lists(n_liked), items, titles=titles, width=LIST_LENGTH
        )
        model = self.folder / "made" / title
        digest = write_model(model, arrays, MANIFEST_FIELDS).digest
        data = DataVersion("demo", "0" * 36, "data/raw")
        run = ExperimentTracker("test").start_search_run(title, data, {}, {})
        return register_version("marquee", model, digest, run, TAGS)[0].version

    def marquee(self, *arguments: str, fails: bool = False) -> str:
        """Run a `marquee` command and return its output; it must succeed, or fail if `fails` is set."""
        command = [sys.executable, "-m", "pipelines.cli", *arguments]
        result = run_command(command, self.folder, {**os.environ, **self.environment})
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, output + self.logs()
        return output

    def up(self, *options: str) -> str:
        """Start the stack and return the output."""
        return self.marquee("up", "--port", str(self.port), *options)

    def logs(self) -> str:
        """Return the last part of each log of the stack."""
        paths = sorted((self.run_folder / "logs").glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in paths)

    def pid(self, name: str) -> int:
        """Return the pid of a process of the stack, which must be running."""
        process = find_process(self.run_folder, name)
        assert process is not None, f"{name} is not running"
        return process.pid

    def journal(self) -> Journal:
        """Return the journal of the last rollout."""
        return list_journals(self.run_folder)[-1]

    def wait_for_outcome(self, seconds: float = 120) -> str:
        """Wait until the last rollout has ended, and return its outcome."""
        wait_until(lambda: not self.journal().read_rollout().is_running, seconds, self.logs)
        return str(self.journal().read_rollout().outcome)

    def wait_for_events(self) -> None:
        """Wait until more than a hundred events are on disk."""
        wait_until(lambda: sum(1 for _ in read_events(self.stack.events)) > 100, 30, self.logs)

    def champion_version(self) -> int:
        """Return the registered version of the champion, which must exist."""
        champion = find_champion("marquee")
        assert champion is not None
        return champion.version

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Send a GET request to the port of the gateways; return status, headers and body."""
        return request(self.port, "GET", path, None, headers or {})


@contextmanager
def stack_project(monkeypatch: pytest.MonkeyPatch, **canary: Any) -> Iterator[StackProject]:
    """Create a temporary project; stop its stack when the `with` block ends.

    The folder has a short path, because the length of a socket's path is limited. `canary` is passed to
    `StackProject`.
    """
    with tempfile.TemporaryDirectory(prefix="mq-") as folder:
        project = StackProject(Path(folder), **canary)
        for name, value in project.environment.items():
            if name != "PYTHONPATH":
                monkeypatch.setenv(name, value)
        try:
            yield project
        finally:
            if (project.run_folder / "stack.json").exists():
                project.marquee("down")


class SimulatedUsers:
    """Threads that simulate users during a `with` block: they request lists, and click on items they like.

    Attributes:
        statuses: number of responses by status code; 0: no response after all attempts.
        arms: by user, the arms that responded, in order and without consecutive repetitions.
    """

    def __init__(self, project: StackProject, threads: int = 2) -> None:
        self._port = project.port
        self._api_key = (project.run_folder / "api-key").read_text()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]
        self.statuses: Counter[int] = Counter()
        self.arms: dict[str, list[str]] = {}

    def __enter__(self) -> "SimulatedUsers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def success_rate(self) -> float:
        """Share of requests for a list that succeeded."""
        return self.statuses[200] / max(self.statuses.total(), 1)

    def _run(self, seed: int) -> None:
        rng = random.Random(seed)
        event_ids = (f"{seed}-{number}" for number in itertools.count(1))
        while not self._stop.is_set():
            user = rng.randrange(N_USERS)
            status, headers, body = self._send("GET", f"/recommend/u{user}?n={LIST_LENGTH}", None)
            self.statuses[status] += 1
            if status == 200:
                self._record_arm(f"u{user}", headers["x-arm"])
                items = [int(each["item"][1:]) for each in json.loads(body)["items"][:LIST_LENGTH]]
                self._click(user, items, rng, event_ids)
            time.sleep(0.004)

    def _record_arm(self, user: str, arm: str) -> None:
        arms = self.arms.setdefault(user, [])
        if not arms or arms[-1] != arm:
            arms.append(arm)

    def _click(self, user: int, items: list[int], rng: random.Random, event_ids: Iterator[str]) -> None:
        liked = set(liked_items(user))
        for item in items:
            if rng.random() < CLICK_PROBABILITY[item in liked]:
                event = {"event_id": next(event_ids), "user": f"u{user}", "item": f"i{item}", "kind": "click"}
                self._send("POST", "/feedback", json.dumps(event))

    def _send(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, str], bytes]:
        headers = {"x-api-key": self._api_key, "content-type": "application/json"}
        for _ in range(N_ATTEMPTS):
            try:
                return request(self._port, method, path, body, headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        return 0, {}, b""


def request(
    port: int, method: str, path: str, body: str | None, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Send a request on a new connection; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CLIENT_TIMEOUT_S)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return (
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()
