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

OUTPUT = "output"  # file with the output of `marquee repro`, written when both clones are complete


@pytest.fixture(scope="session")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two equal clones: `marquee repro` has run in the first, `dvc repro` in the second. Read-only.

    The first test process that needs the clones makes both at the same time; the other processes wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # shared by all workers of the session
    with file_lock(folder / "clones.lock"):
        if not (folder / "clones" / OUTPUT).exists():
            make_both_clones(folder / "clones")
    return folder / "clones"


def make_both_clones(folder: Path) -> None:
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
def second_clone(clones: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Second clone, in which `dvc repro` has run. Its tests run in order and may change it."""
    return copy_clone(Clone(clones / "second", clones / "home"), tmp_path_factory.mktemp("second") / "clone")


@pytest.fixture(scope="session")
def exported_again(reproduced: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Clone in which another export has produced version 2 of the model from the same search."""
    clone = copy_clone(reproduced, tmp_path_factory.mktemp("exported") / "clone")
    clone.change_params(lambda tree: tree["export"].update(top_n=6))
    clone.run("git", "commit", "-qam", "shorter lists")
    clone.output = clone.dvc("repro").stdout
    return clone


@pytest.fixture
def s3_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an S3 server with a bucket called marquee."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/marquee").raise_for_status()
    yield f"http://{host}:{port}"
    server.stop()
