"""deploy/compose.yaml in a real engine: killed replica, canary that comes and goes, stopped gateway."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from pipelines.commands.compose_mounts import COMPOSE
from service.gateway.api_keys import API_KEY_FILE
from tests.support.commands import run_command
from tests.support.containers import docker
from tests.support.packaging_project import PackagingProject
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]
USERS = [f"u{n}" for n in range(60)]
N_ATTEMPTS = 3  # per request of a client


def find_compose() -> list[str]:
    """Return the compose command: Docker's plugin, or the program of Debian's package."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("docker compose is not installed (apt-get install docker-compose)")


def find_adjacent_ports() -> int:
    """Return the first of two adjacent ports that are not in use."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    pytest.fail("no adjacent ports are free")


class ComposeStack:
    """Stack of a project in containers, with its own compose project name."""

    def __init__(self, folder: Path, image: str) -> None:
        self.project, self.image, self.port = PackagingProject(folder), image, find_adjacent_ports()
        params = folder / "params.yaml"
        text = params.read_text()
        assert text.count("port: 3000") == 1
        params.write_text(text.replace("port: 3000", f"port: {self.port}"))
        self.name = f"marquee-test-{os.getpid()}"
        self.client = httpx.Client(timeout=5, trust_env=False)
        self._compose = find_compose()

    def configure(self, *options: str) -> str:
        """Run `marquee compose` and return its output."""
        result = self.project.marquee("compose", "--image", self.image, *options)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def compose(self, *arguments: str) -> str:
        """Run the command that `marquee compose` prints, with these arguments, and return its output."""
        files = ["--env-file", str(COMPOSE / ".env"), "-f", "deploy/compose.yaml"]
        environment = {**os.environ, "COMPOSE_PROJECT_NAME": self.name, "DOCKER_BUILDKIT": "0"}
        result = run_command([*self._compose, *files, *arguments], self.project.folder, environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def get(self, path: str, gateway: int = 1) -> httpx.Response:
        """Send a request, and retry it, as a client would, if the connection breaks or the server fails."""
        for _ in range(N_ATTEMPTS - 1):
            try:
                response = self.client.get(self.url(path, gateway))
            except httpx.RemoteProtocolError:
                continue
            if response.status_code < 500:
                return response
        return self.client.get(self.url(path, gateway))

    def url(self, path: str, gateway: int = 1) -> str:
        return f"http://127.0.0.1:{self.port + gateway - 1}{path}"

    def send_feedback(self, headers: dict[str, str]) -> int:
        """Send a feedback event with these headers, and return the status of the response."""
        event = {"event_id": "e1", "user": "ann", "item": "i2", "kind": "rating", "value": 4}
        return self.client.post(self.url("/feedback"), json=event, headers=headers).status_code

    def arms(self, gateway: int = 1) -> list[str]:
        """Return the arm of each user."""
        responses = [self.get(f"/recommend/{user}", gateway) for user in USERS]
        assert {response.status_code for response in responses} == {200}
        return [response.headers["x-arm"] for response in responses]

    def container_id(self, service: str) -> str:
        """Return the id of a service's container."""
        return self.compose("ps", "-q", service).strip()

    def is_alive(self, gateway: int) -> bool:
        """Return True if a gateway responds and has a replica."""
        return self.get("/livez", gateway).status_code == 200

    def is_healthy(self, service: str) -> bool:
        """Return True if the health check of a service's container succeeds."""
        status = docker("inspect", "--format", "{{.State.Health.Status}}", self.container_id(service))
        return status == "healthy"


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; a failed connection counts as False."""

    def holds() -> bool:
        try:
            return condition()
        except httpx.TransportError:
            return False

    wait_until(holds, 60, poll_interval_s=0.2)


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    stack = ComposeStack(tmp_path_factory.mktemp("compose") / "clone", image)
    stack.configure()
    try:
        stack.compose("up", "-d")
        for gateway in (1, 2):
            wait_for(partial(stack.is_alive, gateway))
        yield stack
    finally:
        stack.client.close()
        stack.compose("--profile", "canary", "down", "-v", "--timeout", "5")


@pytest.mark.parametrize("gateway", [1, 2])
def test_gateway_recommends_and_hides_metrics(stack: ComposeStack, gateway: int) -> None:
    response = stack.get("/recommend/ann?n=2", gateway)
    assert [item["item"] for item in response.json()["items"]] == ["i2", "i1"]
    assert response.headers["x-arm"] == "stable"
    assert stack.get("/metrics", gateway).status_code == 404


@pytest.mark.parametrize("gateway", [1, 2])
def test_health_check_reports_a_healthy_gateway(stack: ComposeStack, gateway: int) -> None:
    wait_for(partial(stack.is_healthy, f"gateway-{gateway}"))


def test_feedback_requires_an_api_key(stack: ComposeStack) -> None:
    key = (stack.project.folder / COMPOSE / API_KEY_FILE).read_text()
    assert stack.send_feedback({}) == 401
    assert stack.send_feedback({"x-api-key": key}) == 202


def test_killed_replica_fails_no_request(stack: ComposeStack) -> None:
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", stack.container_id("stable-2")))
    os.kill(pid, signal.SIGKILL)
    assert set(stack.arms(1) + stack.arms(2)) == {"stable"}


def test_canary_serves_its_users_until_it_is_removed(stack: ComposeStack) -> None:
    assert "50.0% of users" in stack.configure("--canary", stack.image, "--allocation", "0.5")
    assert set(stack.arms()) == {"stable"}, "stable serves the canary's users until it is up"
    stack.compose("--profile", "canary", "up", "-d")
    wait_for(lambda: "canary" in stack.arms())
    half = stack.arms()
    assert half == stack.arms(2)
    stack.configure("--canary", stack.image, "--allocation", "0.9")
    most = stack.arms()
    assert most.count("canary") > half.count("canary")
    assert all(after == "canary" for before, after in zip(half, most, strict=True) if before == "canary")
    stack.compose("restart", "gateway-2")
    wait_for(lambda: stack.arms(2) == most)
    assert "0.0% of users" in stack.configure()
    assert set(stack.arms(1) + stack.arms(2)) == {"stable"}


def test_stopped_gateway_exits_cleanly_while_the_other_serves(stack: ComposeStack) -> None:
    container_id = stack.container_id("gateway-1")
    stack.compose("stop", "gateway-1")
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container_id) == "0"
    assert set(stack.arms(2)) == {"stable"}
