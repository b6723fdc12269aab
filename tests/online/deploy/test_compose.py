"""deploy/compose.yaml in use: a replica is killed, a canary weighed in and out, a gateway stopped."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.commands.compose import COMPOSE
from service.gateway.config import KEY_FILE
from tests.support.containers import docker
from tests.support.projects import Project

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]
USERS = [f"u{n}" for n in range(60)]


def composer() -> list[str]:
    """The plugin of the engine, or the program that Debian has."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("apt-get install docker-compose")


def free_pair() -> int:
    """A port that is free, as is the next one."""
    for _ in range(50):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    pytest.fail("no two free ports beside each other")


class Stack:
    """The stack of a project's folder, under a name of its own."""

    def __init__(self, folder: Path, image: str) -> None:
        self.project, self.image, self.port = Project(folder), image, free_pair()
        params = folder / "params.yaml"
        text = params.read_text()
        assert text.count("port: 3000") == 1
        params.write_text(text.replace("port: 3000", f"port: {self.port}"))
        self.name = f"marquee-test-{os.getpid()}"
        self.client = httpx.Client(timeout=5, trust_env=False)
        self._compose = composer()

    def told(self, *arguments: str) -> str:
        done = self.project.marquee("compose", "--image", self.image, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def compose(self, *arguments: str) -> str:
        """The line that `marquee compose` prints, with another end."""
        files = ["--env-file", str(COMPOSE / ".env"), "-f", "deploy/compose.yaml"]
        environment = {**os.environ, "COMPOSE_PROJECT_NAME": self.name, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(
            [*self._compose, *files, *arguments],
            cwd=self.project.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, gateway: int = 1) -> httpx.Response:
        """As a client does it: a request that was broken off is asked twice more."""
        for _ in range(2):
            try:
                answer = self.client.get(self.url(path, gateway))
            except httpx.RemoteProtocolError:
                continue
            if answer.status_code < 500:
                return answer
        return self.client.get(self.url(path, gateway))

    def url(self, path: str, gateway: int = 1) -> str:
        return f"http://127.0.0.1:{self.port + gateway - 1}{path}"

    def rate(self, headers: dict[str, str]) -> int:
        event = {"event_id": "e1", "user": "ann", "item": "i2", "kind": "rating", "value": 4}
        return self.client.post(self.url("/feedback"), json=event, headers=headers).status_code

    def arms(self, gateway: int = 1) -> list[str]:
        """Of each user."""
        answers = [self.ask(f"/recommend/{user}", gateway) for user in USERS]
        assert {answer.status_code for answer in answers} == {200}
        return [answer.headers["x-arm"] for answer in answers]

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).strip()


def eventually(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if what():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail("it never happened")


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("compose") / "clone", image)
    stack.told()
    try:
        stack.compose("up", "-d")
        for gateway in (1, 2):
            eventually(lambda gateway=gateway: stack.ask("/livez", gateway).status_code == 200)
        yield stack
    finally:
        stack.client.close()
        stack.compose("--profile", "canary", "down", "-v", "--timeout", "5")


def test_both_gateways_answer_and_ask_for_a_key(stack: Stack) -> None:
    for gateway in (1, 2):
        answer = stack.ask("/recommend/ann?n=2", gateway)
        assert [item["item"] for item in answer.json()["items"]] == ["i2", "i1"]
        assert answer.headers["x-arm"] == "stable"
        assert stack.ask("/metrics", gateway).status_code == 404
        eventually(lambda gateway=gateway: healthy(stack.container(f"gateway-{gateway}")))
    key = (stack.project.folder / COMPOSE / KEY_FILE).read_text()
    assert stack.rate({}) == 401
    assert stack.rate({"x-api-key": key}) == 202


def healthy(container: str) -> bool:
    return docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy"


def test_a_killed_replica_is_not_missed(stack: Stack) -> None:
    os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", stack.container("stable-2"))), 9)
    assert set(stack.arms(1) + stack.arms(2)) == {"stable"}


def test_a_canary_gets_its_users_and_loses_them(stack: Stack) -> None:
    assert "50.0% of users" in stack.told("--canary", stack.image, "--weight", "0.5")
    assert set(stack.arms()) == {"stable"}, "nobody waits for a canary that is not there yet"
    stack.compose("--profile", "canary", "up", "-d")
    eventually(lambda: "canary" in stack.arms())
    few = stack.arms()
    assert few == stack.arms(2)
    stack.told("--canary", stack.image, "--weight", "0.9")
    many = stack.arms()
    assert many.count("canary") > few.count("canary")
    assert all(after == "canary" for before, after in zip(few, many, strict=True) if before == "canary")
    stack.compose("restart", "gateway-2")
    eventually(lambda: stack.arms(2) == many)
    assert "0.0% of users" in stack.told()
    assert set(stack.arms(1) + stack.arms(2)) == {"stable"}


def test_a_gateway_ends_well_and_the_other_goes_on(stack: Stack) -> None:
    gone = stack.container("gateway-1")
    stack.compose("stop", "gateway-1")
    assert docker("inspect", "--format", "{{.State.ExitCode}}", gone) == "0"
    assert set(stack.arms(2)) == {"stable"}
