"""The clones that the tests of the whole loop share: a run takes half a minute."""

from collections.abc import Iterator

import httpx
import pytest
from clones import Clone, make_clone
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `marquee repro` has run once. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("clones")
    clone = make_clone(folder / "first", folder / "home")
    clone.output = clone.marquee("repro").stdout
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "reproduced")
    return clone


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Another clone of the same commit, reproduced by DVC alone. Its tests run in order and may change it."""
    folder = tmp_path_factory.mktemp("clones")
    clone = make_clone(folder / "second", folder / "home")
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
