"""Clones shared by the end-to-end tests, because a run of the pipeline takes half a minute."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from marquee.files.lock import file_lock
from tests.support.clones import Clone, copy_clone, make_clone

OUTPUT = "output"  # file with the output of `marquee repro`; it exists when both clones are complete


@pytest.fixture(scope="session")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two clones of a commit, in which `marquee repro` and `dvc repro` have run once. Read-only.

    The first test process that needs the clones makes them, on two cores; the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # shared by all workers of the session
    with file_lock(folder / "clones.lock"):
        if not (folder / "clones" / OUTPUT).exists():
            make_both(folder / "clones")
    return folder / "clones"


def make_both(folder: Path) -> None:
    first, second = (make_clone(folder / name, folder / "home") for name in ("first", "second"))
    with ThreadPoolExecutor(2) as pool:
        runs = pool.submit(first.marquee, "repro"), pool.submit(second.dvc, "repro")
        output, _ = (run.result().stdout for run in runs)
    first.run("git", "add", "-A")
    first.run("git", "commit", "-qm", "reproduced")
    (folder / OUTPUT).write_text(output)


@pytest.fixture(scope="session")
def reproduced(clones: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Clone in which `marquee repro` has run once. Tests must not change it."""
    clone = copy_clone(
        Clone(clones / "first", clones / "home"), tmp_path_factory.mktemp("reproduced") / "clone"
    )
    clone.output = (clones / OUTPUT).read_text()
    return clone


@pytest.fixture(scope="session")
def second(clones: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Another clone of the commit, in which `dvc repro` has run. Its tests run in order and may change it."""
    return copy_clone(Clone(clones / "second", clones / "home"), tmp_path_factory.mktemp("second") / "clone")


@pytest.fixture(scope="session")
def exported_again(reproduced: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Copy in which a second export has produced a second version from the same search."""
    clone = copy_clone(reproduced, tmp_path_factory.mktemp("exported") / "clone")
    clone.change_params(lambda tree: tree["export"].update(top_n=6))
    clone.run("git", "commit", "-qam", "shorter lists")
    clone.output = clone.dvc("repro").stdout
    return clone


@pytest.fixture
def s3_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """S3 server on a free port, with a bucket called marquee."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/marquee").raise_for_status()
    yield f"http://{host}:{port}"
    server.stop()
