"""The gateways: HAProxy itself, in front of replicas that answer what they are told to."""

import collections
import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from experiments.config.offline import load_params
from marquee.errors import ConfigError, MarqueeError
from marquee.rollout.cohort import Failure
from pipelines.commands.compose import site_of
from service.gateway import config
from service.gateway.config import PROBE, Gateway, Server, Site, haproxy, render, write, write_keys
from service.gateway.failure_log import FailureFile
from service.gateway.traffic_split import (
    NOBODY,
    Split,
    read_split,
    servers_of,
    set_server,
    split_of,
    steer,
    write_split,
)  # fmt: skip
from service.stack.launch import _append
from service.stack.stack_config import free_ports
from service.stack.supervisor import stop_signal

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[3]
KEY = "a key"
USERS = [f"user {number}/é" for number in range(300)]


class Replica(ThreadingHTTPServer):
    """Answers with its arm; every second request fails as it is told. More in a row would mark it down."""

    daemon_threads = True

    def __init__(self, port: int, arm: str) -> None:
        self.arm, self.status, self.wait, self.seen = arm, 200, 0.0, collections.Counter[str]()
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """Whoever asked did not wait."""


class Handler(BaseHTTPRequestHandler):
    server: Replica
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one piece

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        checked = self.path == "/readyz"
        status = 200
        if not checked:
            self.server.seen[self.path] += 1
            status = self.server.status if self.server.seen.total() % 2 else 200
        time.sleep(self.server.wait if not checked or self.server.wait >= 1 else 0)
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(status)
        self.send_header("x-arm", self.server.arm)
        self.send_header("server", "told nobody")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_POST = _answer  # noqa: N815 - the names are the library's

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Front:
    """One or two gateways before a replica of each arm."""

    def __init__(self, folder: Path, **told: Any) -> None:
        self.folder = folder
        ports = free_ports(5)
        self.replicas = {"stable": Replica(ports[0], "stable"), "canary": Replica(ports[1], "canary")}
        self.port = ports[2]
        stable, canary = (
            Server(f"{arm}-1", port) for arm, port in zip(self.replicas, ports[:2], strict=True)
        )
        self.site = Site(folder, (stable,), (canary,), host="127.0.0.1", port=self.port, **told)
        self.gateways = [Gateway(f"gateway-{n}", ports[2 + n]) for n in (1, 2)]
        write_keys(folder, [KEY])
        write_split(folder, NOBODY)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, gateway: Gateway) -> None:
        output = _append(gateway.failures(self.folder))
        command = [haproxy(), "-db", "-f", str(write(self.site, gateway))]
        self.running[gateway.name] = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        os.close(output)
        end = time.monotonic() + 10
        while servers_of(self.folder, gateway) is None:
            assert time.monotonic() < end
            time.sleep(0.02)

    def kill(self, gateway: Gateway) -> None:
        process = self.running.pop(gateway.name)
        process.kill()
        process.wait()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, told)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def arms(self) -> dict[str, str]:
        return {user: self.ask("GET", f"/recommend/{quoted(user)}?n=5")[1]["x-arm"] for user in USERS}

    def failures(self, due: int = 0) -> list[Failure]:
        """What was written down; so many are due, and each comes a moment after its answer."""
        end = time.monotonic() + 5
        while True:
            files = [FailureFile(g.failures(self.folder), self.site.slow_ms) for g in self.gateways]
            found = [failure for file in files for failure in file.poll()]
            if len(found) >= due or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def end(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        for replica in self.replicas.values():
            replica.shutdown()
            replica.server_close()


def quoted(user: str) -> str:
    from urllib.parse import quote

    return quote(user, safe="")


@pytest.fixture
def short() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mq-") as folder:
        yield Path(folder)


@pytest.fixture
def front(short: Path) -> Iterator[Front]:
    made = Front(short)
    made.start(made.gateways[0])
    yield made
    made.end()


def test_only_the_public_routes_are_there(front: Front) -> None:
    for path in ("/recommend/u1", "/similar/i1", "/items/i1", "/version", "/openapi.json", "/docs"):
        assert front.ask("GET", path)[0] == 200
    for path in ("/recommend", "/predict"):
        assert front.ask("POST", path, b"{}")[0] == 200
    for path in ("/readyz", "/metrics", "/", "/recommended", "/feedback/x", "//recommend/u1"):
        status, headers, body = front.ask("GET", path)
        assert (status, headers["content-type"], json.loads(body)["status"]) == (
            404,
            "application/problem+json",
            404,
        )
    assert front.ask("GET", "/predict")[0] == 405
    assert front.ask("DELETE", "/recommend/u1")[1]["allow"] == "GET"
    assert front.ask("GET", "/livez")[0] == 200


def test_who_writes_needs_a_key_and_the_replica_never_sees_it(front: Front) -> None:
    assert front.ask("POST", "/feedback", b"{}")[0] == 401
    assert front.ask("POST", "/feedback", b"{}", x_api_key="another")[0] == 401
    status, _, body = front.ask("POST", "/feedback", b"{}", x_api_key=KEY)
    assert status == 200
    assert "X-Api-Key" not in {name.title() for name in json.loads(body)}
    assert KEY not in (front.folder / config.KEYS).read_text()


def test_answers_carry_headers_that_protect_and_none_that_tell(front: Front) -> None:
    _, headers, _ = front.ask("GET", "/recommend/u1")
    assert headers["x-content-type-options"] == "nosniff"
    assert {"referrer-policy", "x-frame-options", "cross-origin-resource-policy"} <= set(headers)
    assert "server" not in headers


def test_a_body_has_a_limit_and_a_client_too(short: Path) -> None:
    made = Front(short, largest_body=1000, requests_per_10s=20)
    try:
        made.start(made.gateways[0])
        assert made.ask("POST", "/predict", b"x" * 1001)[0] == 413
        assert made.ask("POST", "/predict", b"x" * 1000)[0] == 200
        statuses = [made.ask("GET", "/recommend/u1")[0] for _ in range(30)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
    finally:
        made.end()


def test_a_greater_weight_moves_users_only_to_the_canary_and_a_restart_moves_nobody(front: Front) -> None:
    assert set(front.arms().values()) == {"stable"}
    before: set[str] = set()
    for weight in (0.05, 0.25, 0.5, 1.0):
        assert steer(front.folder, front.gateways[:1], Split(77, weight)) == []
        arms = front.arms()
        now = {user for user, arm in arms.items() if arm == "canary"}
        assert before <= now
        assert abs(len(now) / len(USERS) - weight) < 0.1
        before = now
    steer(front.folder, front.gateways[:1], Split(77, 0.5))
    half = front.arms()
    front.kill(front.gateways[0])
    front.start(front.gateways[0])
    assert front.arms() == half
    front.start(front.gateways[1])  # the same port, the same arms
    assert front.arms() == half
    steer(front.folder, front.gateways, Split(78, 0.5))
    other = front.arms()
    assert (
        0.3 < sum(half[user] != other[user] for user in USERS) / len(USERS) < 0.7
    )  # another salt, others are first


def test_a_user_is_the_same_however_they_are_named(front: Front) -> None:
    steer(front.folder, front.gateways[:1], Split(5, 0.5))
    for user in USERS[:40]:
        arm = front.ask("GET", f"/recommend/{quoted(user)}")[1]["x-arm"]
        name = user.encode().decode("latin-1")
        assert front.ask("POST", "/recommend", b"{}", x_user_id=name)[1]["x-arm"] == arm
        one = json.dumps({"user": user}, ensure_ascii=False).encode()
        assert front.ask("POST", "/feedback", one, x_api_key=KEY)[1]["x-arm"] == arm
        batch = json.dumps([{"user": user}], ensure_ascii=False).encode()
        assert front.ask("POST", "/feedback", batch, x_api_key=KEY)[1]["x-arm"] == arm


def test_where_no_canary_is_healthy_its_users_are_served_by_stable(front: Front) -> None:
    steer(front.folder, front.gateways[:1], Split(5, 1.0))
    assert front.ask("GET", "/recommend/u1")[1]["x-arm"] == "canary"
    front.replicas["canary"].shutdown()
    front.replicas["canary"].server_close()
    # A connection that was kept may still answer.
    answers = [front.ask("GET", "/recommend/u1") for _ in range(3)]
    end = time.monotonic() + 10
    while answers[-1][1]["x-arm"] != "stable" and time.monotonic() < end:
        answers.append(front.ask("GET", "/recommend/u1"))
    answers += [front.ask("GET", "/recommend/u1") for _ in range(20)]
    assert {status for status, _, _ in answers} == {200}
    assert {headers["x-arm"] for _, headers, _ in answers[-20:]} == {"stable"}


def test_what_fails_or_is_slow_is_written_down_and_nothing_else(front: Front) -> None:
    steer(front.folder, front.gateways[:1], Split(5, 0.5))
    front.arms()
    assert front.failures() == []
    front.replicas["canary"].status = 500
    failed = sum(status == 500 for status in (front.ask("GET", f"/recommend/{quoted(u)}")[0] for u in USERS))
    found = front.failures(failed)
    assert [(f.arm, f.kind) for f in found] == [("canary", "errors")] * failed
    assert len({f.user for f in found}) == failed > 30  # not sent again: it is the application's own fault
    front.replicas["canary"].status, front.replicas["canary"].wait = 200, 0.15
    front.ask("GET", f"/recommend/{quoted(USERS[0])}")
    for user in USERS[:20]:
        front.ask("GET", f"/recommend/{quoted(user)}")
    slow = [f for f in front.failures(failed + 1) if f.kind == "slow"]
    assert {f.arm for f in slow} == {"canary"}
    assert abs(slow[-1].time - time.time()) < 2
    assert not any(
        user.split("/")[0] in g.failures(front.folder).read_text()
        for g in front.gateways[:1]
        for user in USERS
    )


def test_after_a_kill_failures_are_still_appended(front: Front) -> None:
    front.replicas["stable"].status = 500
    for _ in range(2):
        front.ask("GET", "/recommend/u1")
    assert len(front.failures(1)) == 1
    front.kill(front.gateways[0])
    path = front.gateways[0].failures(front.folder)
    path.write_bytes(path.read_bytes() + b"17956089")  # a line that was cut off
    front.start(front.gateways[0])
    front.ask("GET", "/recommend/u1")
    assert [f.kind for f in front.failures(2)] == ["errors", "errors"]


def test_a_request_is_sent_again_where_a_replica_is_silent(short: Path) -> None:
    made = Front(short, timeout_ms=800, slow_ms=100)  # no busy machine makes the others as slow
    try:
        steered = Split(5, 1.0)
        write_split(short, steered)
        made.start(made.gateways[0])
        made.replicas["canary"].wait = 3.0
        answers = [made.ask("GET", "/recommend/u1") for _ in range(5)]
        assert {(status, headers["x-arm"]) for status, headers, _ in answers} == {(200, "stable")}
    finally:
        made.end()


def test_asked_to_end_it_finishes_what_it_is_answering(front: Front) -> None:
    front.replicas["stable"].wait = 0.2
    answers: list[int] = []
    asking = [
        threading.Thread(target=lambda n=n: answers.append(front.ask("GET", f"/recommend/u{n}")[0]))
        for n in range(10)
    ]
    for thread in asking:
        thread.start()
    time.sleep(0.1)
    process = front.running["gateway-1"]
    process.send_signal(stop_signal("gateway-1", {"gateway-1"}))
    for thread in asking:
        thread.join()
    assert answers == [200] * 10
    assert process.wait(timeout=10) == 0


def test_the_probe_fails_on_purpose_for_who_has_a_key(front: Front) -> None:
    assert front.ask("GET", PROBE)[0] == 401
    assert front.ask("GET", PROBE, x_api_key=KEY)[0] == 500
    assert [(f.arm, f.kind) for f in front.failures(1)] == [("canary", "errors")]
    assert front.replicas["canary"].seen == {}


def test_a_replica_is_drained_and_comes_back(front: Front) -> None:
    set_server(front.folder, front.gateways, "stable-1", "drain")
    states = {(s.backend, s.name): s.up for s in servers_of(front.folder, front.gateways[0]) or ()}
    assert states["stable", "stable-1"] is False
    set_server(front.folder, front.gateways, "stable-1", "ready")
    states = {(s.backend, s.name): s.up for s in servers_of(front.folder, front.gateways[0]) or ()}
    assert states["stable", "stable-1"] is True


def test_a_gateway_that_is_down_is_told_by_its_file(front: Front) -> None:
    assert steer(front.folder, front.gateways, Split(9, 0.3)) == ["gateway-2"]
    assert split_of(front.folder, front.gateways[1]) is None
    front.start(front.gateways[1])
    assert split_of(front.folder, front.gateways[1]) == Split(9, 0.3) == read_split(front.folder)


@pytest.mark.parametrize("changes", [{"port": 99999}, {"timeout_ms": "soon"}])
def test_what_haproxy_refuses_is_never_used(short: Path, changes: Mapping[str, Any]) -> None:
    made = Front(short)
    path = write(made.site, made.gateways[0])
    good = path.read_text()
    made.site = Site(**{**vars(made.site), **changes})
    with pytest.raises(ConfigError, match="HAProxy refuses"):
        write(made.site, made.gateways[0])
    assert path.read_text() == good
    made.end()


def test_without_haproxy_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.shutil, "which", lambda *_, **__: None)
    with pytest.raises(MarqueeError, match="apt-get install haproxy"):
        haproxy()


def test_the_configuration_for_containers_is_accepted_too(short: Path) -> None:
    write_keys(short, [KEY])
    write_split(short, NOBODY)
    site = site_of(load_params(ROOT / "params.yaml"), short)
    path = short / "inside.cfg"
    path.write_text(render(site, Gateway("gateway-1", 8404)))
    checked = subprocess.run([haproxy(), "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
