"""The image in a real engine: without rights, read-only, killed, and its events read back."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from marquee.events import Exposure, Feedback
from marquee.process_memory import mapped_bytes
from service.analysis import ExitCode
from service.telemetry.reader import read_events
from tests.support.containers import BASE, docker
from tests.support.rollout_steps import policy_file

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]
MEGABYTE = 1 << 20


class Container:
    """A replica as it should be run: read-only, no capability, no root, its events in a folder."""

    def __init__(self, image: str, events: Path) -> None:
        events.mkdir(exist_ok=True)
        events.chmod(0o1777)
        self.events = events
        limits = "--read-only --cap-drop ALL --security-opt no-new-privileges --user 10001:10001"
        self.name = docker(
            "run", "-d", "--restart", "unless-stopped", *limits.split(), "--tmpfs", "/tmp:size=64m",
            "-v", f"{events}:/events", "-p", "127.0.0.1::3000", image,
        )  # fmt: skip
        self.began = time.monotonic()

    @property
    def url(self) -> str:
        return f"http://{docker('port', self.name, '3000/tcp')}"

    def inspect(self, path: str) -> str:
        return docker("inspect", "--format", f"{{{{{path}}}}}", self.name)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=5, trust_env=False)

    def wait_until_ready(self) -> float:
        """Seconds since it was begun."""
        for _ in range(600):
            try:
                if self.get("/readyz").status_code == 200:
                    return time.monotonic() - self.began
            except (httpx.TransportError, AssertionError):
                pass
            time.sleep(0.05)
        pytest.fail(docker("logs", self.name))

    def execute(self, *command: str, check: bool = True) -> str:
        return docker("exec", self.name, *command, check=check)


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    container = Container(image, tmp_path_factory.mktemp("events") / "events")
    container.wait_until_ready()
    yield container
    docker("rm", "--force", container.name)


def test_it_recommends_from_its_own_model(container: Container) -> None:
    answer = container.get("/recommend/ann?n=2").json()
    assert [item["item"] for item in answer["items"]] == ["i2", "i1"]
    assert answer["model"]["version"] == 3


def test_it_is_small_and_has_nothing_of_the_offline_half(image: str, container: Container) -> None:
    size = {name: int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE)}
    assert size[image] - size[BASE] < 300 * MEGABYTE
    list_them = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    installed = set(container.execute("python", "-c", list_them).split())
    assert {"bentoml", "numpy"} <= installed
    offline = {
        "mlflow",
        "optuna",
        "dvc",
        "pandas",
        "numba",
        "scikit-surprise",
        "pyarrow",
        "scipy",
        "pip",
        "uv",
    }
    assert not installed & offline


def test_it_has_no_rights_and_cannot_write_but_where_it_must(container: Container) -> None:
    assert container.execute("id", "-u") == "10001"
    status = container.execute("cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for place in ("/", "/app", "/home/bentoml/bento", "/etc"):
        assert (
            container.execute("sh", "-c", f"touch {place}/x 2>/dev/null && echo written", check=False) == ""
        )
    assert container.execute("sh", "-c", "touch /tmp/x /events/x && echo written") == "written"
    assert container.inspect(".HostConfig.ReadonlyRootfs") == "true"


def test_its_health_is_checked_over_http(container: Container) -> None:
    for _ in range(100):
        if container.inspect(".State.Health.Status") == "healthy":
            break
        time.sleep(0.3)
    assert container.inspect(".State.Health.Status") == "healthy"
    test = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", container.name))
    assert test == ["CMD", "python", "/app/healthy.py"]


def test_its_memory_is_bounded(container: Container) -> None:
    """The replica's own pages; those of the model and of libraries are shared."""
    assert own_megabytes(container) < 180


def own_megabytes(container: Container) -> float:
    pids = [int(line.split()[1]) for line in docker("top", container.name).splitlines()[1:]]
    own = 0
    for pid in pids:
        mapped = mapped_bytes(pid)
        own += mapped["Private_Clean"] + mapped["Private_Dirty"]
    return own / MEGABYTE


FEEDBACK: dict[str, Any] = {"event_id": "e1", "user": "ann", "item": "i2", "kind": "rating", "value": 4}


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("policy.json", ExitCode.ROLL_BACK, "inconclusive"),
        ("none.json", ExitCode.INVALID_INPUT, "cannot be read"),
    ],
)
def test_its_analysis_of_a_step_runs_as_a_job_would(
    image: str, tmp_path: Path, name: str, code: ExitCode, said: str
) -> None:
    """A step without events whose deadline is over at once, and one without a policy."""
    policy_file(tmp_path, deadline_seconds=0.5)
    (tmp_path / "policy.json").chmod(0o644)
    tmp_path.chmod(0o755)
    limits = "--rm --read-only --cap-drop ALL --security-opt no-new-privileges --user 10001:10001"
    job = [
        "-v",
        f"{tmp_path}:/policy:ro",
        "-w",
        "/home/bentoml/bento/src",
        image,
        "python",
        "-m",
        "service.analysis",
    ]
    options = [f"--policy=/policy/{name}", "--events=/events", "--step=0"]
    command = ["docker", "run", *limits.split(), *job, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def test_killed_it_comes_back_and_its_events_are_there(container: Container) -> None:
    for _ in range(5):
        container.get("/recommend/bob")
    assert httpx.post(f"{container.url}/feedback", json=FEEDBACK, trust_env=False).status_code == 202
    time.sleep(1)  # exposures are synced twice a second
    before = container.inspect(".State.StartedAt")
    os.kill(int(container.inspect(".State.Pid")), 9)
    for _ in range(200):
        if container.inspect(".State.StartedAt") != before and container.inspect(".State.Running") == "true":
            break
        time.sleep(0.05)
    container.wait_until_ready()
    events = list(read_events(container.events))
    assert [event.event_id for event in events if isinstance(event, Feedback)] == ["e1"]
    assert len([event for event in events if isinstance(event, Exposure) and event.user == "bob"]) == 5
    again = httpx.post(f"{container.url}/feedback", json=FEEDBACK, trust_env=False)
    assert again.json() == {"stored": 0, "duplicates": 1}


def test_asked_to_end_it_drains_and_ends_well(container: Container) -> None:
    for _ in range(20):
        container.get("/recommend/ann")
    began = time.monotonic()
    docker("stop", "--time", "10", container.name)
    assert time.monotonic() - began < 8
    assert container.inspect(".State.ExitCode") == "0"
    shown = [event for event in read_events(container.events) if isinstance(event, Exposure)]
    assert len([event for event in shown if event.user == "ann"]) >= 20
    assert not list(container.events.rglob("*.open"))
    logs = docker("logs", container.name)
    assert '"event": "model loaded"' in logs
    assert "ann" not in logs.replace("cannot", "")
