"""HAProxy's command socket: incomplete responses of gateways."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.gateway.haproxy_config import GatewayConfig
from service.gateway.haproxy_socket import query_servers, send_command
from service.gateway.traffic_split import query_split

STATISTICS = b"# pxname,svname,status,scur,stot,hrsp_5xx,\ncanary,canary-1,UP,0,1,0,\n"
GATEWAY = GatewayConfig("gateway-1", 1)


@contextmanager
def gateway_socket(response: bytes) -> Iterator[Path]:
    """Simulate a gateway that answers each command with `response` and disconnects; yield its folder."""
    with TemporaryDirectory(prefix="mq-") as name, socket.socket(socket.AF_UNIX) as listener:
        folder = Path(name)
        listener.bind(str(GATEWAY.socket_path(folder)))
        listener.listen()
        threading.Thread(target=_respond, args=(listener, response), daemon=True).start()
        try:
            yield folder
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _respond(listener: socket.socket, response: bytes) -> None:
    try:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(response)
    except OSError:
        return


@pytest.mark.parametrize("response", [b"", b"# pxname,svname,sta", STATISTICS, STATISTICS[:-9]])
def test_incomplete_response_is_ignored(response: bytes) -> None:
    with gateway_socket(response) as folder:
        assert query_servers(folder, GATEWAY) is None
        assert query_split(folder, GATEWAY) is None
        assert send_command(GATEWAY.socket_path(folder), "show stat") is None


def test_complete_response_is_parsed() -> None:
    with gateway_socket(STATISTICS + b"\n") as folder:
        servers = query_servers(folder, GATEWAY)
    assert servers is not None
    assert [(server.name, server.is_up) for server in servers] == [("canary-1", True)]
