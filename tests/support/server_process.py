"""Server processes in tests."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from service.stack.stack_config import find_free_ports
from tests.support.waiting import wait_until

START_SECONDS, STOP_SECONDS = 40, 15


class ServerProcess:
    """Server on a free port, started in its own process group, as a shell starts it.

    Attributes:
        port: port of the server; it replaces `{port}` in the command.
        log: file with the standard output and standard error of the server.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.port, self.log = find_free_ports(1)[0], log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [part.format(port=self.port) for part in command],
                cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request to the server."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, timeout=10, trust_env=False, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send a GET request to the server."""
        return self.request("GET", path, **options)

    def get_status(self, path: str) -> int | None:
        """Return the status code for a path, or None without a response; fail if the server has exited."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get(path).status_code
        except httpx.TransportError:
            return None

    def wait_until_alive(self) -> None:
        """Wait until the server responds to a liveness check."""
        wait_until(lambda: self.get_status("/livez") is not None, START_SECONDS, self.log.read_text)

    def wait_until_ready(self) -> None:
        """Wait until the server reports that it is ready."""
        wait_until(lambda: self.get_status("/readyz") == HTTPStatus.OK, START_SECONDS, self.log.read_text)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Send a signal to the process group; if the server does not exit in time, kill the group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal_number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
