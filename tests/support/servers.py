"""`bentoml serve service.app:Marquee` from source, as a process group that ends with the test."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]


class Server:
    """One replica with its supervisor, on a free port, its events and logs in a folder."""

    def __init__(self, model: Path, home: Path, **told: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log, self.events = home / "server.log", home / "events"
        settings = {
            "MARQUEE_MODEL": str(model),
            "MARQUEE_EVENTS": str(self.events),
            "BENTOML_HOME": str(home),
            "BENTOML_DO_NOT_TRACK": "true",
            **{f"MARQUEE_{name.upper()}": value for name, value in told.items()},
        }
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

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask it something."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, timeout=10, trust_env=False, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask it for something."""
        return self.request("GET", path, **options)

    def wait_until_alive(self) -> None:
        """Until it answers at all."""
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
        """Ask it to end, then make it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
