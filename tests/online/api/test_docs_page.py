"""Docs page in a real browser that can reach nothing but the server."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bentoml_server import BentoMLServer
from tests.support.sample_replica import write_sample_model

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.server,
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BentoMLServer]:
    server = BentoMLServer(write_sample_model(tmp_path / "fitted", scorers="factors"), tmp_path)
    server.wait_until_alive()
    yield server
    server.stop()


def test_docs_page_shows_every_route_offline(server: BentoMLServer, tmp_path: Path) -> None:
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # no host but the server resolves
        f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", f"http://127.0.0.1:{server.port}/docs#all",
    ]  # fmt: skip
    browser = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    paths = re.findall(r'<span class="path">([^<]+)</span>', browser.stdout)
    assert set(paths) == set(server.get("/openapi.json").json()["paths"])
    for text in ("Recommend items to a user", "event_id", "at most 1000", "A field has an invalid value"):
        assert text in browser.stdout
    assert "Loading" not in browser.stdout
