"""Server process: behavior that only shows with real processes, sockets and signals."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marquee.events import Event, Exposure, Feedback, decode
from tests.support.bentoml_server import BentoMLServer
from tests.support.manifest_fields import SEPARATE_FIELDS
from tests.support.sample_replica import write_sample_model

pytestmark = pytest.mark.server
StartServer = Callable[..., BentoMLServer]  # arguments: the model, and settings of the replica


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    servers: list[BentoMLServer] = []

    def start(model: Path, **settings: str) -> BentoMLServer:
        servers.append(BentoMLServer(model, tmp_path, **settings))
        servers[-1].wait_until_alive()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def read_all_events(server: BentoMLServer) -> list[Event]:
    paths = sorted(server.events.rglob("*.jsonl*"))
    return [decode(line) for path in paths for line in path.read_bytes().splitlines()]


def test_acknowledged_feedback_is_on_disk(tmp_path: Path, start_server: StartServer) -> None:
    server = start_server(write_sample_model(tmp_path / "fitted"))
    feedback = {"event_id": "e1", "user": "ann", "item": "i3", "kind": "rating", "value": 4}
    assert server.request("POST", "/feedback", json=feedback).status_code == 202
    (event,) = read_all_events(server)
    assert isinstance(event, Feedback)
    assert event.event_id == "e1"


def test_exposure_of_every_response_is_on_disk_after_shutdown(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server(write_sample_model(tmp_path / "fitted", scorers="factors", version=7))
    assert server.get("/readyz").json()["status"] == "ready"
    users = ["ann", "bob", "eve", *(f"stranger-{number}" for number in range(20))]
    responses = [server.get(f"/recommend/{user}") for user in users]
    assert server.get("/nope").status_code == 404
    os.killpg(server.process.pid, signal.SIGTERM)
    assert server.process.wait(10) == 0
    exposures = [event for event in read_all_events(server) if isinstance(event, Exposure)]
    assert [event.request_id for event in exposures] == [
        response.headers["x-request-id"] for response in responses
    ]
    for event, response in zip(exposures, responses, strict=True):
        body = response.json()
        assert (event.user, event.fallback_level, event.model) == (body["user"], body["fallback_level"], "7")
        assert list(event.items) == [item["item"] for item in body["items"]]
    assert not list(server.events.rglob("*.open"))


def test_feedback_changes_the_lists_of_all_replicas_within_a_second(
    tmp_path: Path, start_server: StartServer
) -> None:
    model = write_sample_model(tmp_path / "fitted", scorers="item weights", **SEPARATE_FIELDS)
    one, two = start_server(model, replica="one"), start_server(model, replica="two")
    assert two.get("/recommend/bob").json()["fallback_level"] == "live"  # his stored list has one item
    before = two.get("/recommend/ann?n=1").json()
    assert (before["fallback_level"], before["items"][0]["item"]) == ("personal", "i3")
    for number, item in enumerate(("i3", "i2")):
        feedback = {"event_id": f"e{number}", "user": "ann", "item": item, "kind": "click"}
        assert one.request("POST", "/feedback", json=feedback).status_code == 202
        acknowledged = time.monotonic()
        assert one.get("/recommend/ann?n=1").json()["fallback_level"] == "live"
        while two.get("/recommend/ann?n=2").json() != one.get("/recommend/ann?n=2").json():
            assert time.monotonic() - acknowledged < 1, "the other replica must know it within a second"
            time.sleep(0.02)


def test_log_is_json_with_one_line_per_incident_and_no_user_ids(
    tmp_path: Path, start_server: StartServer
) -> None:
    model = write_sample_model(tmp_path / "fitted", scorers="factors")
    server = start_server(model, availability=str(tmp_path / "none.json"))
    for number in range(50):
        server.get(f"/recommend/stranger-{number}")
        server.get(f"/recommend/stranger-{number}?n=0")
    server.request(
        "POST", "/feedback", json={"event_id": "e", "user": "stranger-1", "item": "i0", "kind": "like"}
    )
    text = server.log.read_text()
    assert "stranger" not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["rules not loaded", "model loaded"]
    assert all({"timestamp", "level", "replica", "logger"} <= set(line) for line in lines)
    assert not list(server.events.rglob("*.log"))


def test_replica_with_a_damaged_model_is_alive_but_not_ready(
    tmp_path: Path, start_server: StartServer
) -> None:
    folder = write_sample_model(tmp_path / "fitted")
    with (folder / "top_items.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    server = start_server(folder)
    for _ in range(5):
        ready = server.get("/readyz")
        assert ready.status_code == 503
        assert "top_items.npy" in ready.json()["detail"]
    assert server.get("/recommend/ann").status_code == 503
    lines = server.log.read_text().splitlines()
    assert len([line for line in lines if "top_items.npy" in line]) == 1
    assert not any("Traceback" in line for line in lines)


def test_slow_body_times_out_without_delaying_other_requests(
    tmp_path: Path, start_server: StartServer
) -> None:
    server = start_server(write_sample_model(tmp_path / "fitted"))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        headers = ("host: x", "content-type: application/json", "content-length: 100")
        connection.sendall("\r\n".join(["POST /feedback HTTP/1.1", *headers, "", "{"]).encode())
        start = time.monotonic()
        assert server.get("/recommend/ann").status_code == 200
        assert time.monotonic() - start < 1
        connection.settimeout(15)
        response = http.client.HTTPResponse(connection)  # reads the whole body, however it is split
        response.begin()
        problem = json.loads(response.read())
    assert response.status == 408
    assert problem["field"] == "body"


def test_bytes_that_are_not_http_are_rejected(tmp_path: Path, start_server: StartServer) -> None:
    server = start_server(write_sample_model(tmp_path / "fitted"))
    for data in (b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(data)
            connection.settimeout(10)
            assert connection.recv(65536).startswith(b"HTTP/1.1 4")
    assert server.get("/livez").status_code == 200
