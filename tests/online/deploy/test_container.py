"""Container of a replica in a real engine: privileges, packages, memory, restart after a kill, and events."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from marquee.events import Event, Exposure, Feedback
from marquee.process_memory import read_memory_breakdown
from service.kubernetes_analysis_job import ExitCode
from service.telemetry.reader import read_events
from tests.support.containers import BASE, docker
from tests.support.rollout_steps import write_policy
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]
MEGABYTE = 1 << 20
HARDENING = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=10001:10001")
FEEDBACK: dict[str, Any] = {"event_id": "e1", "user": "ann", "item": "i2", "kind": "rating", "value": 4}
OFFLINE_PACKAGES = {"mlflow", "optuna", "dvc", "pandas", "numba", "scikit-surprise", "pyarrow", "scipy"}
BUILD_TOOLS = {"pip", "uv"}


class Container:
    """Container of a replica, run as documented: read-only, without privileges, with events in a folder."""

    def __init__(self, image: str, events: Path) -> None:
        events.mkdir(exist_ok=True)
        events.chmod(0o1777)
        self.events = events
        self.name = docker(
            "run", "-d", "--restart", "unless-stopped", *HARDENING, "--tmpfs", "/tmp:size=64m",
            "-v", f"{events}:/events", "-p", "127.0.0.1::3000", image,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://{docker('port', self.name, '3000/tcp')}"

    def inspect(self, path: str) -> str:
        return docker("inspect", "--format", f"{{{{{path}}}}}", self.name)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=5, trust_env=False)

    def send_feedback(self) -> httpx.Response:
        return httpx.post(f"{self.url}/feedback", json=FEEDBACK, trust_env=False)

    def execute(self, *command: str, check: bool = True) -> str:
        return docker("exec", self.name, *command, check=check)

    def wait_until_ready(self) -> None:
        wait_until(self.is_ready, 30, lambda: docker("logs", self.name))

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except (httpx.TransportError, AssertionError):
            return False

    def measure_private_megabytes(self) -> float:
        """Measure the memory that the processes of the container do not share with others."""
        pids = [int(line.split()[1]) for line in docker("top", self.name).splitlines()[1:]]
        mappings = [read_memory_breakdown(pid) for pid in pids]
        return sum(each["Private_Clean"] + each["Private_Dirty"] for each in mappings) / MEGABYTE

    def read_exposures_of(self, user: str) -> list[Event]:
        events = read_events(self.events)
        return [event for event in events if isinstance(event, Exposure) and event.user == user]


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    container = Container(image, tmp_path_factory.mktemp("events") / "events")
    container.wait_until_ready()
    yield container
    docker("rm", "--force", container.name)


def test_container_recommends_from_the_packaged_model(container: Container) -> None:
    body = container.get("/recommend/ann?n=2").json()
    assert [item["item"] for item in body["items"]] == ["i2", "i1"]
    assert body["model"]["version"] == 3


def test_image_is_small_and_has_no_offline_packages(image: str, container: Container) -> None:
    size = {name: int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE)}
    assert size[image] - size[BASE] < 300 * MEGABYTE
    code = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    installed = set(container.execute("python", "-c", code).split())
    assert {"bentoml", "numpy"} <= installed
    assert not installed & (OFFLINE_PACKAGES | BUILD_TOOLS)


def test_container_has_no_privileges_and_only_two_writable_folders(container: Container) -> None:
    assert container.execute("id", "-u") == "10001"
    status = container.execute("cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for folder in ("/", "/app", "/home/bentoml/bento", "/etc"):
        command = f"touch {folder}/x 2>/dev/null && echo written"
        assert container.execute("sh", "-c", command, check=False) == ""
    assert container.execute("sh", "-c", "touch /tmp/x /events/x && echo written") == "written"
    assert container.inspect(".HostConfig.ReadonlyRootfs") == "true"


def test_health_check_reports_a_ready_replica(container: Container) -> None:
    wait_until(lambda: container.inspect(".State.Health.Status") == "healthy", 30, poll_interval_s=0.3)
    command = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", container.name))
    assert command == ["CMD", "python", "/app/health_check.py"]


def test_private_memory_is_bounded(container: Container) -> None:
    """Pages of the model and of libraries are shared and do not count."""
    assert container.measure_private_megabytes() < 180


def run_analysis_job(image: str, folder: Path, policy: str) -> subprocess.CompletedProcess[str]:
    """Analyze a step without events, with the policy file of this name in `folder`."""
    folder.chmod(0o755)
    options = ["--rm", *HARDENING, "-v", f"{folder}:/policy:ro", "-w", "/home/bentoml/bento/src"]
    arguments = [f"--policy=/policy/{policy}", "--events=/events", "--step=0"]
    command = [
        "docker",
        "run",
        *options,
        image,
        "python",
        "-m",
        "service.kubernetes_analysis_job",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_analysis_job_rolls_back_an_inconclusive_step_at_its_deadline(image: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path, deadline_seconds=0.5)
    policy.chmod(0o644)
    result = run_analysis_job(image, tmp_path, policy.name)
    assert result.returncode == ExitCode.ROLL_BACK, result.stderr
    assert "inconclusive" in result.stdout + result.stderr


def test_analysis_job_rejects_a_missing_policy(image: str, tmp_path: Path) -> None:
    result = run_analysis_job(image, tmp_path, "none.json")
    assert result.returncode == ExitCode.INVALID_INPUT, result.stderr
    assert "none.json" in result.stdout + result.stderr


def test_log_contains_no_user_ids(container: Container) -> None:
    container.get("/recommend/stranger-1")
    log = docker("logs", container.name)
    assert '"event": "model loaded"' in log
    assert "stranger-1" not in log


def test_killed_replica_restarts_and_keeps_its_events(container: Container) -> None:
    for _ in range(5):
        container.get("/recommend/bob")
    assert container.send_feedback().status_code == 202
    time.sleep(1)  # exposures are synced twice per second
    started_at = container.inspect(".State.StartedAt")
    os.kill(int(container.inspect(".State.Pid")), signal.SIGKILL)
    wait_until(lambda: container.inspect(".State.StartedAt") != started_at)
    wait_until(lambda: container.inspect(".State.Running") == "true")
    container.wait_until_ready()
    feedback = [event for event in read_events(container.events) if isinstance(event, Feedback)]
    assert [event.event_id for event in feedback] == ["e1"]
    assert len(container.read_exposures_of("bob")) == 5
    assert container.send_feedback().json() == {"stored": 0, "duplicates": 1}


def test_stopped_container_drains_and_writes_its_events(container: Container) -> None:  # last: stops it
    for _ in range(20):
        container.get("/recommend/ann")
    start = time.monotonic()
    docker("stop", "--time", "10", container.name)
    assert time.monotonic() - start < 8
    assert container.inspect(".State.ExitCode") == "0"
    assert len(container.read_exposures_of("ann")) >= 20
    assert not list(container.events.rglob("*.open"))
