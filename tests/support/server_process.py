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
    """Server on a free port, in its own process group, as a terminal would start it.

    Attributes:
        port: the port; it replaces `{port}` in the command.
        log: file with the output of the server.
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
        """Return the status of a response, or None if the server does not respond; fail if it has exited."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get(path).status_code
        except httpx.TransportError:
            return None

    def wait_until_alive(self) -> None:
        """Wait until the server responds."""
        wait_until(lambda: self.get_status("/livez") is not None, START_SECONDS, self.log.read_text)

    def wait_until_ready(self) -> None:
        """Wait until the server reports that it is ready."""
        wait_until(lambda: self.get_status("/readyz") == HTTPStatus.OK, START_SECONDS, self.log.read_text)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the process group, and kill it if the server does not exit."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
