"""Gateways: real HAProxy processes in front of simulated replicas."""

import collections
import http.client
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pytest

from experiments.config import load_params
from marquee.errors import ConfigError, MarqueeError
from marquee.rollout.observation_collector import Failure
from pipelines.commands.compose_mounts import build_shared_gateway_config
from service.gateway.api_keys import KEY_DIGESTS_FILE, write_key_digests
from service.gateway.failure_log import FailureLog
from service.gateway.haproxy_config import (
    PROBE_PATH,
    GatewayConfig,
    ReplicaAddress,
    SharedGatewayConfig,
    find_haproxy,
    render_config,
    write_config,
)
from service.gateway.haproxy_socket import query_servers, set_server_state
from service.gateway.traffic_split import (
    NO_CANARY,
    TrafficSplit,
    apply_split,
    query_split,
    read_split,
    write_split,
)
from service.stack.circus_supervisor import graceful_stop_signal
from service.stack.exec_launcher import open_log_descriptor
from service.stack.stack_config import find_free_ports

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[3]
API_KEY = "a key"
NO_HEADERS: Mapping[str, str] = {}
WITH_KEY = {"x-api-key": API_KEY}
USERS = [f"user {number}/é" for number in range(300)]


class SimulatedReplica(ThreadingHTTPServer):
    """Replica that responds with its arm and the request headers.

    `status` applies only to every second request, since HAProxy marks a replica down after several failures
    in a row.
    """

    daemon_threads = True

    def __init__(self, port: int, arm: str) -> None:
        self.arm, self.status, self.delay_s = arm, 200, 0.0
        self.requests = collections.Counter[str]()  # by path
        super().__init__(("127.0.0.1", port), ReplicaHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """Ignore errors caused by clients that disconnected."""


class ReplicaHandler(BaseHTTPRequestHandler):
    server: SimulatedReplica
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # sends head and body together

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        is_health_check = self.path == "/readyz"
        status = 200
        if not is_health_check:
            self.server.requests[self.path] += 1
            status = self.server.status if self.server.requests.total() % 2 else 200
        time.sleep(self.server.delay_s if not is_health_check or self.server.delay_s >= 1 else 0)
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(status)
        self.send_header("x-arm", self.server.arm)
        self.send_header("server", "a name to hide")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_POST = _respond  # noqa: N815 - http.server requires these names

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def arm(self) -> str:
        return self.headers["x-arm"]


class GatewayPair:
    """Two gateways, not yet started, in front of one simulated replica of each arm."""

    def __init__(
        self,
        folder: Path,
        *,
        timeout_ms: int = 300,
        max_body_bytes: int = 1 << 20,
        requests_per_10s: int = 2000,
    ) -> None:
        self.folder = folder
        stable_port, canary_port, self.port, *metrics_ports = find_free_ports(5)
        self.stable = SimulatedReplica(stable_port, "stable")
        self.canary = SimulatedReplica(canary_port, "canary")
        self.config = SharedGatewayConfig(
            folder,
            stable=(ReplicaAddress("stable-1", stable_port),),
            canary=(ReplicaAddress("canary-1", canary_port),),
            host="127.0.0.1",
            port=self.port,
            timeout_ms=timeout_ms,
            max_body_bytes=max_body_bytes,
            requests_per_10s=requests_per_10s,
        )
        self.gateways = [GatewayConfig(f"gateway-{n}", port) for n, port in enumerate(metrics_ports, start=1)]
        write_key_digests(folder, [API_KEY])
        write_split(folder, NO_CANARY)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "GatewayPair":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.stable.stop()
        self.canary.stop()

    def start(self, gateway: GatewayConfig) -> None:
        output = open_log_descriptor(gateway.failure_log_path(self.folder))
        command = [find_haproxy(), "-db", "-f", str(write_config(self.config, gateway))]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        self.processes[gateway.name] = process
        os.close(output)
        deadline = time.monotonic() + 10
        while query_servers(self.folder, gateway) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self, gateway: GatewayConfig) -> None:
        process = self.processes.pop(gateway.name)
        process.kill()
        process.wait()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        response_headers = {name.lower(): value for name, value in response.getheaders()}
        result = Response(response.status, response_headers, response.read())
        connection.close()
        return result

    def get(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> Response:
        return self.request("GET", path, headers=headers)

    def recommend(self, user: str) -> Response:
        return self.get(f"/recommend/{quote(user, safe='')}")

    def arms(self) -> dict[str, str]:
        """Return the arm of each user."""
        return {user: self.recommend(user).arm for user in USERS}

    def read_failures(self, minimum: int = 0) -> list[Failure]:
        """Return all logged failures, as soon as there are `minimum` of them: logging takes a moment."""
        deadline = time.monotonic() + 5
        while True:
            paths = [gateway.failure_log_path(self.folder) for gateway in self.gateways]
            logs = [FailureLog(path, self.config.slow_ms) for path in paths]
            failures = [failure for log in logs for failure in log.poll()]
            if len(failures) >= minimum or time.monotonic() > deadline:
                return failures
            time.sleep(0.02)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short path: the path of a UNIX socket is limited to 107 bytes."""
    with TemporaryDirectory(prefix="mq-") as folder:
        yield Path(folder)


@pytest.fixture
def pair(short_path: Path) -> Iterator[GatewayPair]:
    """Two gateways; only the first one is running."""
    with GatewayPair(short_path) as pair:
        pair.start(pair.gateways[0])
        yield pair


def test_only_public_paths_are_forwarded(pair: GatewayPair) -> None:
    for path in ("/recommend/u1", "/similar/i1", "/items/i1", "/version", "/openapi.json", "/docs"):
        assert pair.get(path).status == 200
    for path in ("/recommend", "/predict"):
        assert pair.request("POST", path, b"{}").status == 200
    for path in ("/readyz", "/metrics", "/", "/recommended", "/feedback/x", "//recommend/u1"):
        response = pair.get(path)
        assert response.status == json.loads(response.body)["status"] == 404
        assert response.headers["content-type"] == "application/problem+json"
    assert pair.get("/predict").status == 405
    assert pair.request("DELETE", "/recommend/u1").headers["allow"] == "GET"
    assert pair.get("/livez").status == 200


def test_feedback_needs_a_key_that_is_not_forwarded(pair: GatewayPair) -> None:
    assert pair.request("POST", "/feedback", b"{}").status == 401
    assert pair.request("POST", "/feedback", b"{}", {"x-api-key": "another"}).status == 401
    response = pair.request("POST", "/feedback", b"{}", WITH_KEY)
    assert response.status == 200
    assert "X-Api-Key" not in {name.title() for name in json.loads(response.body)}
    assert API_KEY not in (pair.folder / KEY_DIGESTS_FILE).read_text()


def test_responses_have_security_headers_and_hide_the_server(pair: GatewayPair) -> None:
    headers = pair.get("/recommend/u1").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert {"referrer-policy", "x-frame-options", "cross-origin-resource-policy"} <= set(headers)
    assert "server" not in headers


def test_body_size_and_request_rate_are_limited(short_path: Path) -> None:
    with GatewayPair(short_path, max_body_bytes=1000, requests_per_10s=20) as pair:
        pair.start(pair.gateways[0])
        assert pair.request("POST", "/predict", b"x" * 1001).status == 413
        assert pair.request("POST", "/predict", b"x" * 1000).status == 200
        statuses = [pair.get("/recommend/u1").status for _ in range(30)]
        assert statuses[0] == 200
        assert statuses[-1] == 429


def test_larger_allocation_only_adds_users_to_the_canary(pair: GatewayPair) -> None:
    assert set(pair.arms().values()) == {"stable"}
    previous: set[str] = set()
    for allocation in (0.05, 0.25, 0.5, 1.0):
        assert apply_split(pair.folder, pair.gateways[:1], TrafficSplit(77, allocation)) == []
        canary_users = {user for user, arm in pair.arms().items() if arm == "canary"}
        assert previous <= canary_users
        assert abs(len(canary_users) / len(USERS) - allocation) < 0.1
        previous = canary_users


def test_assignment_survives_restarts_and_changes_with_the_salt(pair: GatewayPair) -> None:
    apply_split(pair.folder, pair.gateways[:1], TrafficSplit(77, 0.5))
    arms = pair.arms()
    pair.kill(pair.gateways[0])
    pair.start(pair.gateways[0])
    assert pair.arms() == arms
    pair.start(pair.gateways[1])  # on the same port
    assert pair.arms() == arms
    apply_split(pair.folder, pair.gateways, TrafficSplit(78, 0.5))
    new_arms = pair.arms()
    assert 0.3 < sum(arms[user] != new_arms[user] for user in USERS) / len(USERS) < 0.7


def test_user_gets_the_same_arm_by_path_header_and_body(pair: GatewayPair) -> None:
    apply_split(pair.folder, pair.gateways[:1], TrafficSplit(5, 0.5))
    for user in USERS[:40]:
        arm = pair.recommend(user).arm
        header = user.encode().decode("latin-1")
        assert pair.request("POST", "/recommend", b"{}", {"x-user-id": header}).arm == arm
        for document in ({"user": user}, [{"user": user}]):
            body = json.dumps(document, ensure_ascii=False).encode()
            assert pair.request("POST", "/feedback", body, WITH_KEY).arm == arm


def test_stable_serves_users_of_an_unhealthy_canary(pair: GatewayPair) -> None:
    apply_split(pair.folder, pair.gateways[:1], TrafficSplit(5, 1.0))
    assert pair.get("/recommend/u1").arm == "canary"
    pair.canary.stop()
    responses = [pair.get("/recommend/u1") for _ in range(3)]
    deadline = time.monotonic() + 10
    # Connections that HAProxy kept alive may still reach the canary.
    while responses[-1].arm != "stable" and time.monotonic() < deadline:
        responses.append(pair.get("/recommend/u1"))
    responses += [pair.get("/recommend/u1") for _ in range(20)]
    assert {response.status for response in responses} == {200}
    assert {response.arm for response in responses[-20:]} == {"stable"}


def test_only_failed_and_slow_requests_are_in_the_failure_log(pair: GatewayPair) -> None:
    apply_split(pair.folder, pair.gateways[:1], TrafficSplit(5, 0.5))
    pair.arms()
    assert pair.read_failures() == []
    pair.canary.status = 500
    n_failed = sum(pair.recommend(user).status == 500 for user in USERS)
    failures = pair.read_failures(n_failed)
    assert [(failure.arm, failure.kind) for failure in failures] == [("canary", "errors")] * n_failed
    assert len({failure.user for failure in failures}) == n_failed > 30  # application errors are not retried
    pair.canary.status, pair.canary.delay_s = 200, 0.15
    for user in (USERS[0], *USERS[:20]):
        pair.recommend(user)
    slow = [failure for failure in pair.read_failures(n_failed + 1) if failure.kind == "slow"]
    assert {failure.arm for failure in slow} == {"canary"}
    assert abs(slow[-1].time - time.time()) < 2
    log = pair.gateways[0].failure_log_path(pair.folder).read_text()
    assert not any(user.split("/")[0] in log for user in USERS)


def test_restarted_gateway_appends_to_its_failure_log(pair: GatewayPair) -> None:
    pair.stable.status = 500
    for _ in range(2):
        pair.get("/recommend/u1")
    assert len(pair.read_failures(1)) == 1
    pair.kill(pair.gateways[0])
    path = pair.gateways[0].failure_log_path(pair.folder)
    path.write_bytes(path.read_bytes() + b"17956089")  # an incomplete line
    pair.start(pair.gateways[0])
    pair.get("/recommend/u1")
    assert [failure.kind for failure in pair.read_failures(2)] == ["errors", "errors"]


def test_request_to_a_hanging_replica_is_retried(short_path: Path) -> None:
    # The timeout is long, so that on a busy machine the stable replica does not exceed it as well.
    with GatewayPair(short_path, timeout_ms=800) as pair:
        write_split(short_path, TrafficSplit(5, 1.0))
        pair.start(pair.gateways[0])
        pair.canary.delay_s = 3.0
        responses = [pair.get("/recommend/u1") for _ in range(5)]
        assert {(response.status, response.arm) for response in responses} == {(200, "stable")}


def test_gateway_finishes_requests_on_shutdown(pair: GatewayPair) -> None:
    pair.stable.delay_s = 0.2
    statuses: list[int] = []
    clients = [
        threading.Thread(target=lambda n=n: statuses.append(pair.get(f"/recommend/u{n}").status))
        for n in range(10)
    ]
    for client in clients:
        client.start()
    time.sleep(0.1)
    process = pair.processes["gateway-1"]
    process.send_signal(graceful_stop_signal("gateway-1", {"gateway-1"}))
    for client in clients:
        client.join()
    assert statuses == [200] * 10
    assert process.wait(timeout=10) == 0


def test_probe_with_a_key_fails_and_is_logged(pair: GatewayPair) -> None:
    assert pair.get(PROBE_PATH).status == 401
    assert pair.get(PROBE_PATH, WITH_KEY).status == 500
    assert [(failure.arm, failure.kind) for failure in pair.read_failures(1)] == [("canary", "errors")]
    assert pair.canary.requests == {}


def test_replica_can_be_drained_and_made_ready_again(pair: GatewayPair) -> None:
    for state, is_up in (("drain", False), ("ready", True)):
        set_server_state(pair.folder, pair.gateways, "stable-1", state)
        servers = query_servers(pair.folder, pair.gateways[0]) or []
        assert {(server.backend, server.name): server.is_up for server in servers}[
            "stable", "stable-1"
        ] is is_up


def test_stopped_gateway_reads_the_split_when_it_starts(pair: GatewayPair) -> None:
    split = TrafficSplit(9, 0.3)
    assert apply_split(pair.folder, pair.gateways, split) == ["gateway-2"]
    assert query_split(pair.folder, pair.gateways[1]) is None
    pair.start(pair.gateways[1])
    assert query_split(pair.folder, pair.gateways[1]) == split == read_split(pair.folder)


@pytest.mark.parametrize("changes", [{"port": 99999}, {"timeout_ms": "soon"}])
def test_invalid_config_does_not_replace_the_old_one(short_path: Path, changes: Mapping[str, Any]) -> None:
    with GatewayPair(short_path) as pair:
        path = write_config(pair.config, pair.gateways[0])
        content = path.read_text()
        with pytest.raises(ConfigError, match="HAProxy rejects"):
            write_config(replace(pair.config, **changes), pair.gateways[0])
        assert path.read_text() == content


def test_missing_haproxy_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(MarqueeError, match="apt-get install haproxy"):
        find_haproxy()


def test_haproxy_accepts_the_config_for_containers(short_path: Path) -> None:
    write_key_digests(short_path, [API_KEY])
    write_split(short_path, NO_CANARY)
    config = build_shared_gateway_config(load_params(ROOT / "params.yaml"), short_path)
    path = short_path / "container.cfg"
    path.write_text(render_config(config, GatewayConfig("gateway-1", 8404)))
    command = [find_haproxy(), "-c", "-f", str(path)]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
