"""Package stage and `marquee serve`: contents of the Bento, one Bento for equal content, and responses."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from marquee.errors import MarqueeError
from pipelines.support import bento as bento_support
from pipelines.support.bento import list_code_files
from tests.support.packaging_project import ROOT, PackagingProject
from tests.support.server_process import ServerProcess

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("package")]  # one process, one Bento and server


def test_versioned_output_contains_nothing_specific_to_the_clone(packaged: PackagingProject) -> None:
    assert set(packaged.read_json("models/bento.json")) == {"bento", "model_digest", "code_digest"}


def test_tag_and_version_are_saved_in_the_local_state(packaged: PackagingProject) -> None:
    last_bento = packaged.read_json(".marquee/packaged.json")
    assert last_bento["version"] == 3
    assert last_bento["user"] == "ann"
    assert list(packaged.bento_build_times()) == [last_bento["tag"].removeprefix("marquee:")]


def test_packaging_equal_content_builds_nothing(packaged: PackagingProject) -> None:
    build_times, output = packaged.bento_build_times(), packaged.read_json("models/bento.json")
    assert packaged.package().returncode == 0
    assert packaged.bento_build_times() == build_times
    assert packaged.read_json("models/bento.json") == output


def test_bento_contains_service_model_and_provenance_only(bento: Path) -> None:
    source = bento / "src"
    assert {path.name for path in source.iterdir()} == {
        "bentofile.yaml", "marquee", "model", "requirements", "service",
    }  # fmt: skip
    # On a cluster, the analysis of a rollout step runs from the Bento; gateways and stack do not.
    assert (source / "service" / "kubernetes_analysis_job.py").exists()
    assert not {"gateway", "stack"} & {path.name for path in (source / "service").iterdir()}
    assert not (source / "service" / "recommendation" / "recorded_request_replay.py").exists()
    assert not {"algorithms", "synthetic"} & {path.name for path in (source / "marquee").iterdir()}
    provenance = json.loads((source / "model" / "provenance.json").read_text())
    assert (provenance["name"], provenance["version"], provenance["run_id"]) == ("marquee", 3, "0f0f")
    assert provenance["git_commit"] is None, "the project is not a git repository"


def test_bento_contains_all_source_files_of_its_packages(
    bento: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    files = (path for package in ("marquee", "service") for path in (bento / "src" / package).rglob("*"))
    source_files = {
        path.relative_to(bento / "src")
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert source_files == set(list_code_files())


def test_missing_imported_module_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = PackagingProject(tmp_path / "clone")
    (project.folder / "service" / "recommendation" / "availability.py").write_text(
        "import marquee.algorithms.svd\n"
    )
    result = project.package()
    assert result.returncode == 1
    assert "the Bento would lack marquee/algorithms/__init__.py, marquee/algorithms/" in result.stderr
    assert not project.bento_build_times()


@pytest.mark.parametrize("patterns", ["INCLUDED_CODE", "EXCLUDED_CODE"])
def test_pattern_without_a_match_is_rejected(monkeypatch: pytest.MonkeyPatch, patterns: str) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(bento_support, patterns, (*getattr(bento_support, patterns), "service/moved"))
    with pytest.raises(MarqueeError, match="no source file matches 'service/moved'"):
        list_code_files()


def test_image_installs_locked_requirements_and_no_compiler(bento: Path) -> None:
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text()
    assert "apt-get" not in dockerfile
    assert "build-essential" not in dockerfile
    requirements = read_pins(bento / "env" / "python" / "requirements.txt")
    assert requirements == read_pins(ROOT / "requirements" / "service.txt")


def read_pins(requirements: Path) -> set[str]:
    """Return all pins and hashes, without environment markers, which tools format differently."""
    lines = requirements.read_text().splitlines()
    return {line.partition(";")[0].strip(" \\") for line in lines} - {""}


def test_unregistered_model_is_not_packaged(tmp_path: Path) -> None:
    project = PackagingProject(tmp_path / "clone")
    result = project.package(version=0)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "register" in result.stderr
    assert not (project.folder / "models" / "bento.json").exists()


def test_serve_without_a_bento_is_reported_in_one_line(tmp_path: Path) -> None:
    result = PackagingProject(tmp_path / "clone").serve()
    assert result.returncode == 1
    assert "make repro" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.server
def test_serve_on_a_port_in_use_is_reported_in_one_line(packaged: PackagingProject) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other_server:
        port = other_server.getsockname()[1]
        result = packaged.serve("--port", str(port))
    assert result.returncode == 1
    assert f"port {port}" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


class PackagedServer(ServerProcess):
    """Process of `marquee serve` in a packaged project."""

    def __init__(self, project: PackagingProject) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "serve", "--port", "{port}"]
        super().__init__(command, project.folder, project.folder / "server.log", project.environment)


@pytest.fixture(scope="module")
def server(packaged: PackagingProject) -> Iterator[PackagedServer]:
    """Server that is ready; the last test of this module stops it."""
    server = PackagedServer(packaged)
    server.wait_until_ready()
    yield server
    server.stop()


@pytest.mark.server
def test_known_user_gets_personal_recommendations(server: PackagedServer) -> None:
    response = server.get("/recommend/ann?n=2")
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert body["fallback_level"] == "personal"
    assert [item["item"] for item in body["items"]] == ["i2", "i1"]
    assert body["items"][0]["title"] == "七人の侍"
    assert (body["model"]["name"], body["model"]["version"]) == ("marquee", 3)


@pytest.mark.server
def test_unknown_user_gets_popular_items(server: PackagedServer) -> None:
    response = server.get("/recommend/nobody")
    assert response.status_code == 200
    assert response.json()["fallback_level"] == "popular"


@pytest.mark.server
def test_plain_text_is_returned_on_request(server: PackagedServer) -> None:
    response = server.get("/recommend/ann", headers={"accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == "i2,i1"


@pytest.mark.server
def test_version_endpoint_returns_digest_and_provenance(
    server: PackagedServer, packaged: PackagingProject
) -> None:
    version = server.get("/version").json()
    assert version["digest"] == packaged.read_json("models/bento.json")["model_digest"]
    assert version["recommender"]["algorithm"] == "svd"
    assert version["provenance"]["version"] == 3


@pytest.mark.server
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_endpoints_respond(server: PackagedServer, path: str) -> None:
    assert server.get(path).status_code == 200


@pytest.mark.server
@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 404), ("/nope", 404), ("/docs.json", 404), ("/recommend/a%0Ab", 422), ("/recommend/ann?n=0", 422)],
)
def test_errors_are_problem_details_instead_of_bentoml_pages(
    server: PackagedServer, path: str, status: int
) -> None:
    response = server.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.server
def test_ctrl_c_stops_the_server_and_frees_the_port(
    server: PackagedServer, packaged: PackagingProject
) -> None:
    output = server.log.read_text()
    assert packaged.read_json(".marquee/packaged.json")["tag"] in output
    assert output.count("curl ") == 3
    server.stop(signal.SIGINT)
    with pytest.raises(ProcessLookupError):
        os.killpg(server.process.pid, 0)
    socket.create_server(("127.0.0.1", server.port)).close()
