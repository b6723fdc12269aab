"""The real server: what only shows where there are processes, sockets and signals."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marquee.events import Exposure, Feedback, decode
from tests.support.catalogues import USERS, write_shop
from tests.support.servers import Server

pytestmark = pytest.mark.server
Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def begin(model: Path, **told: str) -> Server:
        servers.append(Server(model, tmp_path, **told))
        servers[-1].wait_until_alive()
        return servers[-1]

    yield begin
    for server in servers:
        server.end()


def events_of(server: Server) -> list[Exposure | Feedback]:
    paths = sorted(server.events.rglob("*.jsonl*"))
    return [decode(line) for path in paths for line in path.read_bytes().splitlines()]


def test_it_answers_records_and_ends_with_everything_on_disk(tmp_path: Path, start: Start) -> None:
    server = start(write_shop(tmp_path / "fitted", factors=True, version=7))
    assert server.get("/readyz").json()["status"] == "ready"
    users = [*USERS, *(f"stranger-{number}" for number in range(20))]
    answers = [server.get(f"/recommend/{user.replace('/', '%2F')}") for user in users if user != "zoë/3"]
    feedback = {"event_id": "e1", "user": "ann", "item": "i3", "kind": "rating", "value": 4}
    assert server.request("POST", "/feedback", json=feedback).status_code == 202
    assert any(isinstance(event, Feedback) for event in events_of(server))  # acknowledged, so on disk
    assert server.get("/nope").status_code == 404
    os.killpg(server.process.pid, signal.SIGTERM)
    assert server.process.wait(10) == 0
    events = events_of(server)
    exposures = [event for event in events if isinstance(event, Exposure)]
    assert [event.request_id for event in exposures] == [each.headers["x-request-id"] for each in answers]
    for event, answer in zip(exposures, answers, strict=True):
        body = answer.json()
        assert (event.user, event.rung, event.model) == (body["user"], body["rung"], "7")
        assert list(event.items) == [item["item"] for item in body["items"]]
    assert not list(server.events.rglob("*.open"))


def test_the_log_is_json_has_a_line_an_incident_and_names_no_user(tmp_path: Path, start: Start) -> None:
    server = start(write_shop(tmp_path / "fitted", factors=True), catalogue=str(tmp_path / "none.json"))
    for number in range(50):
        server.get(f"/recommend/stranger-{number}")
        server.get(f"/recommend/stranger-{number}?n=0")
    server.request(
        "POST", "/feedback", json={"event_id": "e", "user": "stranger-1", "item": "i0", "kind": "like"}
    )
    text = server.log.read_text()
    assert "stranger" not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["catalogue not read", "model loaded"]
    assert all({"timestamp", "level", "replica", "logger"} <= set(line) for line in lines)
    assert not list(server.events.rglob("*.log"))


def test_a_damaged_model_lives_is_never_ready_and_is_logged_in_one_line(tmp_path: Path, start: Start) -> None:
    folder = write_shop(tmp_path / "fitted")
    with (folder / "top_items.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    server = start(folder)
    for _ in range(5):
        ready = server.get("/readyz")
        assert ready.status_code == 503
        assert "top_items.npy" in ready.json()["detail"]
    assert server.get("/recommend/ann").status_code == 503
    lines = server.log.read_text().splitlines()
    assert len([line for line in lines if "top_items.npy" in line]) == 1
    assert not any("Traceback" in line for line in lines)


def test_a_slow_body_is_refused_and_others_do_not_wait_for_it(tmp_path: Path, start: Start) -> None:
    server = start(write_shop(tmp_path / "fitted"))
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        fields = ("host: x", "content-type: application/json", "content-length: 100")
        slow.sendall("\r\n".join(["POST /feedback HTTP/1.1", *fields, "", "{"]).encode())
        began = time.monotonic()
        assert server.get("/recommend/ann").status_code == 200
        assert time.monotonic() - began < 1
        slow.settimeout(15)
        answer = http.client.HTTPResponse(slow)  # reads on until the body is whole, in however many pieces
        answer.begin()
        problem = json.loads(answer.read())
    assert answer.status == 408
    assert problem["field"] == "body"


def test_what_is_no_http_is_refused(tmp_path: Path, start: Start) -> None:
    server = start(write_shop(tmp_path / "fitted"))
    for nonsense in (b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(nonsense)
            client.settimeout(10)
            assert client.recv(65536).startswith(b"HTTP/1.1 4")
    assert server.get("/livez").status_code == 200
