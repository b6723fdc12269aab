"""The clones that the tests of the whole loop share: a run takes half a minute."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from clones import Clone, copy_of, make_clone
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, Clone]:
    """Two clones of one commit, reproduced side by side: by `marquee repro`, and by DVC alone."""
    folder = tmp_path_factory.mktemp("clones")
    first, second = (make_clone(folder / name, folder / "home") for name in ("first", "second"))
    with ThreadPoolExecutor(2) as pool:
        runs = pool.submit(first.marquee, "repro"), pool.submit(second.dvc, "repro")
        first.output, second.output = (run.result().stdout for run in runs)
    return first, second


@pytest.fixture(scope="session")
def reproduced(both: tuple[Clone, Clone]) -> Clone:
    """A clone in which `marquee repro` has run once. Tests leave it as they found it."""
    clone = both[0]
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "reproduced")
    return clone


@pytest.fixture(scope="session")
def second(both: tuple[Clone, Clone]) -> Clone:
    """Another clone of the same commit, reproduced by DVC alone. Its tests run in order and may change it."""
    return both[1]


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
