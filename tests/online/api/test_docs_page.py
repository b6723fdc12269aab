"""The page of the API in a real browser that has no network."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.catalogues import write_shop
from tests.support.servers import Server

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.server,
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no chromium here"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(write_shop(tmp_path / "fitted", factors=True), tmp_path)
    server.wait_until_alive()
    yield server
    server.end()


def test_the_page_shows_every_route_without_a_network(server: Server, tmp_path: Path) -> None:
    """The browser resolves no name at all: only the server's own address can be reached."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", f"http://127.0.0.1:{server.port}/docs#all",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    shown = re.findall(r'<span class="path">([^<]+)</span>', done.stdout)
    assert set(shown) == set(server.get("/openapi.json").json()["paths"])
    for words in ("Recommend items to a user", "event_id", "at most 1000", "A field has a value"):
        assert words in done.stdout
    assert "The description is being read" not in done.stdout
