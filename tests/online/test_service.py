"""What the service answers over HTTP, and that it is never ready with a damaged model."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from test_recommender import write_small_model

from marquee.errors import ModelError
from service.app import app, load

ROOT = Path(__file__).parents[2]
PROVENANCE = {"name": "marquee", "version": 7, "run_id": "0f0f", "git_commit": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_small_model(tmp_path_factory.mktemp("models") / "fitted")
    (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
    return folder


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    app.state.served = load(folder)
    yield TestClient(app)
    app.state.served = None


def items(response: httpx.Response) -> list[str]:
    return [chosen["item"] for chosen in response.json()["items"]]


def assert_problem(response: httpx.Response, status: int, field: str | None = None) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body.get("field") == field


def test_an_answer_has_user_rung_items_and_model(client: TestClient) -> None:
    response = client.get("/recommend/ann?n=2")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["model"]["name"] == "marquee"
    assert body["model"]["version"] == 7
    assert body["model"]["digest"]
    assert (body["user"], body["rung"]) == ("ann", "personal")
    assert body["items"][0] == {"item": "i3", "title": "Da 5 Bloods", "score": 4.75}


def test_titles_are_utf_8(client: TestClient) -> None:
    response = client.get("/recommend/ann?n=2")
    assert "七人の侍".encode() in response.content


def test_an_unknown_user_gets_popular_items(client: TestClient) -> None:
    response = client.get("/recommend/nobody?n=2")
    assert response.status_code == 200
    assert response.json()["rung"] == "popular"
    assert items(response) == ["i4", "i0"]


def test_ten_is_the_default(client: TestClient) -> None:
    assert client.get("/recommend/nobody").json() == client.get("/recommend/nobody?n=10").json()


def test_plain_text_is_the_item_ids_with_commas(client: TestClient) -> None:
    response = client.get("/recommend/ann?n=3", headers={"accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == "i3,i2,i1"


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/plain", "text/html", ""]
)
def test_anything_else_is_json(client: TestClient, accept: str) -> None:
    response = client.get("/recommend/ann", headers={"accept": accept})
    assert response.headers["content-type"] == "application/json"


def test_user_ids_are_percent_decoded(client: TestClient) -> None:
    response = client.get("/recommend/zo%C3%AB%2F3")
    assert response.json()["user"] == "zoë/3"
    assert items(response) == []  # a known user, who rated everything


@pytest.mark.parametrize("n", ["0", "-1", "ten", "101", "", "1.5", "1e1", "٣", "9" * 5000, "%2B5", "1%00"])
def test_a_bad_n_is_a_problem_that_names_it(client: TestClient, n: str) -> None:
    assert_problem(client.get(f"/recommend/ann?n={n}"), 422, "n")


@pytest.mark.parametrize("n", [1, 100])
def test_the_limits_of_n_are_good(client: TestClient, n: int) -> None:
    assert client.get(f"/recommend/ann?n={n}").status_code == 200


@pytest.mark.parametrize(
    "user", ["", "a%00b", "a%0Ab", "a%0A", "%0D", "%1B", "%7F", "x" * 257, "%C3%A9" * 129]
)
def test_a_bad_user_id_is_a_problem_that_names_it(client: TestClient, user: str) -> None:
    assert_problem(client.get(f"/recommend/{user}"), 422, "user")


@pytest.mark.parametrize("user", ["x" * 256, "%C3%A9" * 128, "%20", "..%2F..", "a%C2%A0b", "%F0%9F%8E%AC"])
def test_a_strange_user_id_is_an_unknown_user(client: TestClient, user: str) -> None:
    response = client.get(f"/recommend/{user}?n=1")
    assert response.status_code == 200
    assert response.json()["rung"] == "popular"


@pytest.mark.parametrize("path", ["/", "/nope", "/recommend", "/version/", "/metrics", "/docs.json"])
def test_an_unknown_route_is_a_problem(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404)


@pytest.mark.parametrize("path", ["/recommend/ann", "/version"])
def test_a_wrong_method_is_a_problem_that_says_which_are_allowed(client: TestClient, path: str) -> None:
    response = client.post(path, json={})
    assert_problem(response, 405)
    assert "GET" in response.headers["allow"]


def test_version_tells_the_whole_provenance(client: TestClient, folder: Path) -> None:
    told = client.get("/version").json()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {key: told[key] for key in manifest} == manifest
    assert told["provenance"] == PROVENANCE
    assert len(told["digest"]) == 64


def test_without_a_model_every_answer_is_a_problem() -> None:
    assert_problem(TestClient(app).get("/recommend/ann"), 503)
    assert_problem(TestClient(app).get("/version"), 503)


def test_a_model_without_provenance_is_served_without_a_version(tmp_path: Path) -> None:
    served = load(write_small_model(tmp_path / "fitted"))
    assert (served.model["name"], served.model["version"]) == (None, None)


@pytest.mark.parametrize("content", ["{", "[]", "\0"])
def test_a_damaged_provenance_is_refused_by_name(tmp_path: Path, content: str) -> None:
    folder = write_small_model(tmp_path / "fitted")
    (folder / "provenance.json").write_text(content)
    with pytest.raises(ModelError, match=r"provenance\.json"):
        load(folder)


def test_a_manifest_changed_after_packaging_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_small_model(tmp_path / "fitted")
    (folder / "provenance.json").write_text(json.dumps({"model_digest": "0" * 64}))
    with pytest.raises(ModelError, match=r"manifest\.json"):
        load(folder)


class Server:
    """`bentoml serve service.app:Marquee` from source, in a process group of its own."""

    def __init__(self, model: Path, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = home / "server.log"
        settings = {"MARQUEE_MODEL": str(model), "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
        command = [str(Path(sys.executable).with_name("bentoml")), "serve", "service.app:Marquee"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False, **options)

    def wait_until_alive(self) -> None:
        for _ in range(300):
            try:
                self.get("/livez")
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
            else:
                return
        pytest.fail(self.log.read_text())

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[Server]:
    folder = write_small_model(tmp_path / "fitted")
    with (folder / "top_items.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    server = Server(folder, tmp_path)
    yield server
    server.end()


@pytest.mark.server
def test_a_server_with_a_damaged_model_lives_is_never_ready_and_logs_the_file_in_one_line(
    damaged: Server,
) -> None:
    damaged.wait_until_alive()
    assert damaged.get("/livez").status_code == 200
    for _ in range(5):
        assert damaged.get("/readyz").status_code == 503
    assert_problem(damaged.get("/recommend/ann"), 503)
    lines = damaged.log.read_text().splitlines()
    assert len([line for line in lines if "not ready" in line and "top_items.npy" in line]) == 1
    assert not any("Traceback" in line for line in lines)
