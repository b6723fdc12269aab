"""package and serve as a person runs them: one Bento a content, and it answers."""

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

from marquee.errors import MarqueeError
from pipelines.support import bento as bento_support
from pipelines.support.bento import code_files
from tests.support.projects import ROOT, Project

pytestmark = pytest.mark.xdist_group("package")  # all of them share one Bento and one server


def test_the_versioned_output_has_nothing_that_differs_between_clones(packaged: Project) -> None:
    assert set(packaged.read("models/bento.json")) == {"bento", "model_digest", "code_digest"}


def test_the_tag_is_in_the_file_that_only_this_clone_has(packaged: Project) -> None:
    told = packaged.read(".marquee/packaged.json")
    assert told["version"] == 3
    assert told["user"] == "ann"
    assert list(packaged.bentos()) == [told["tag"].removeprefix("marquee:")]


def test_packaging_again_builds_nothing(packaged: Project) -> None:
    before, said = packaged.bentos(), packaged.read("models/bento.json")
    assert packaged.package().returncode == 0
    assert packaged.bentos() == before
    assert packaged.read("models/bento.json") == said


def test_the_bento_holds_the_service_the_model_and_its_provenance_and_no_more(bento: Path) -> None:
    source = bento / "src"
    assert {path.name for path in source.iterdir()} == {
        "bentofile.yaml", "marquee", "model", "requirements", "service",
    }  # fmt: skip
    # What runs beside a replica is in none; what judges a step on a cluster is in each.
    assert (source / "service" / "analysis.py").exists()
    assert not {"gateway", "stack", "shadow.py"} & {path.name for path in (source / "service").iterdir()}
    assert not {"algorithms", "synthetic"} & {path.name for path in (source / "marquee").iterdir()}
    stamped = json.loads((source / "model" / "provenance.json").read_text())
    assert (stamped["name"], stamped["version"], stamped["run_id"]) == ("marquee", 3, "0f0f")
    assert stamped["git_commit"] is None, "the project is no repository"


def test_the_bento_holds_the_source_files_of_its_packages(
    bento: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    files = (path for package in ("marquee", "service") for path in (bento / "src" / package).rglob("*"))
    held = {
        path.relative_to(bento / "src")
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == set(code_files())


def test_a_bento_that_lacks_an_imported_module_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "clone")
    (project.folder / "service" / "recommendation" / "availability.py").write_text("import marquee.algorithms.svd\n")
    done = project.package()
    assert done.returncode == 1
    assert "a Bento would lack marquee/algorithms/__init__.py, marquee/algorithms/" in done.stderr
    assert not project.bentos()


@pytest.mark.parametrize("patterns", ["CODE", "LEFT_OUT"])
def test_a_pattern_that_matches_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, patterns: str) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(bento_support, patterns, (*getattr(bento_support, patterns), "service/moved"))
    with pytest.raises(MarqueeError, match="no source file matches 'service/moved'"):
        code_files()


def test_the_image_installs_the_locked_requirements_and_no_compiler(bento: Path) -> None:
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text()
    assert "apt-get" not in dockerfile
    assert "build-essential" not in dockerfile
    assert pins(bento / "env" / "python" / "requirements.txt") == pins(ROOT / "requirements" / "service.txt")


def pins(requirements: Path) -> set[str]:
    """Every pin and digest, without the markers that tools spell differently."""
    lines = requirements.read_text().splitlines()
    return {line.partition(";")[0].strip(" \\") for line in lines} - {""}


def test_what_is_not_registered_is_not_packaged(tmp_path: Path) -> None:
    project = Project(tmp_path / "clone")
    done = project.package(version=0)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "register" in done.stderr
    assert not (project.folder / "models" / "bento.json").exists()


def test_serve_before_packaging_says_what_to_do(tmp_path: Path) -> None:
    done = Project(tmp_path / "clone").serve()
    assert done.returncode == 1
    assert "make repro" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.server
def test_serve_on_a_taken_port_says_so_in_one_line(packaged: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = packaged.serve("--port", str(port))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


class Server:
    """`marquee serve` on a free port, in a process group of its own, as a terminal would run it."""

    def __init__(self, project: Project) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = project.folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", "serve", "--port", str(self.port)],
                cwd=project.folder,
                env=project.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False, **options)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        for _ in range(400):
            if self.is_ready():
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        pytest.fail(self.log.read_text())

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, number)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(15)


@pytest.fixture(scope="module")
def server(packaged: Project) -> Iterator[Server]:
    server = Server(packaged)
    server.wait_until_ready()
    yield server
    server.end()


@pytest.mark.server
def test_the_served_bento_answers_a_known_user(server: Server) -> None:
    response = server.get("/recommend/ann?n=2")
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert body["rung"] == "personal"
    assert [chosen["item"] for chosen in body["items"]] == ["i2", "i1"]
    assert body["items"][0]["title"] == "七人の侍"
    assert (body["model"]["name"], body["model"]["version"]) == ("marquee", 3)


@pytest.mark.server
def test_the_served_bento_answers_an_unknown_user_with_what_is_popular(server: Server) -> None:
    response = server.get("/recommend/nobody")
    assert response.status_code == 200
    assert response.json()["rung"] == "popular"


@pytest.mark.server
def test_the_served_bento_answers_in_plain_text(server: Server) -> None:
    response = server.get("/recommend/ann", headers={"accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == "i2,i1"


@pytest.mark.server
def test_the_served_bento_tells_its_version(server: Server, packaged: Project) -> None:
    told = server.get("/version").json()
    assert told["digest"] == packaged.read("models/bento.json")["model_digest"]
    assert told["algorithm"] == "svd"
    assert told["provenance"]["version"] == 3


@pytest.mark.server
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_answered_by_bentoml(server: Server, path: str) -> None:
    assert server.get(path).status_code == 200


@pytest.mark.server
@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 404), ("/nope", 404), ("/docs.json", 404), ("/recommend/a%0Ab", 422), ("/recommend/ann?n=0", 422)],
)
def test_no_page_or_error_of_bentoml_shows(server: Server, path: str, status: int) -> None:
    response = server.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.server
def test_ctrl_c_ends_the_server_and_frees_the_port(server: Server, packaged: Project) -> None:
    said = server.log.read_text()
    assert packaged.read(".marquee/packaged.json")["tag"] in said
    assert said.count("curl ") == 3
    server.end(signal.SIGINT)
    with pytest.raises(ProcessLookupError):
        os.killpg(server.process.pid, 0)
    socket.create_server(("127.0.0.1", server.port)).close()
