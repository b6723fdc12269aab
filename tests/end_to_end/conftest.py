"""The clones that the tests of the whole loop share: a run takes half a minute."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from marquee.files.lock import locked
from tests.support.clones import Clone, copy_of, make_clone

DONE = "output"  # of the run that made them; there when they are


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clones of one commit, reproduced side by side: by `marquee repro`, and by DVC alone.

    The first test process that wants them makes them, on both cores; the others wait. Nobody changes them.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the whole session
    with locked(folder / "clones.lock"):
        if not (folder / "clones" / DONE).exists():
            make_both(folder / "clones")
    return folder / "clones"


def make_both(folder: Path) -> None:
    first, second = (make_clone(folder / name, folder / "home") for name in ("first", "second"))
    with ThreadPoolExecutor(2) as pool:
        runs = pool.submit(first.marquee, "repro"), pool.submit(second.dvc, "repro")
        output, _ = (run.result().stdout for run in runs)
    first.run("git", "add", "-A")
    first.run("git", "commit", "-qm", "reproduced")
    (folder / DONE).write_text(output)


@pytest.fixture(scope="session")
def reproduced(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `marquee repro` has run once. Tests leave it as they found it."""
    clone = copy_of(Clone(shared / "first", shared / "home"), tmp_path_factory.mktemp("reproduced") / "clone")
    clone.output = (shared / DONE).read_text()
    return clone


@pytest.fixture(scope="session")
def second(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Another clone of the same commit, reproduced by DVC alone. Its tests run in order and may change it."""
    return copy_of(Clone(shared / "second", shared / "home"), tmp_path_factory.mktemp("second") / "clone")


@pytest.fixture(scope="session")
def exported_again(reproduced: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy in which another export has made a second version of the same search."""
    clone = copy_of(reproduced, tmp_path_factory.mktemp("exported") / "clone")
    clone.change(lambda tree: tree["export"].update(top_n=6))
    clone.run("git", "commit", "-qam", "fewer")
    clone.output = clone.dvc("repro").stdout
    return clone


@pytest.fixture
def s3_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server on a free port of the loopback, with a bucket called marquee."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/marquee").raise_for_status()
    yield f"http://{host}:{port}"
    server.stop()
