"""Traffic split: incomplete responses of gateways, and a full disk."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.gateway import traffic_split
from service.gateway.haproxy_config import GatewayConfig
from service.gateway.traffic_split import (
    TrafficSplit,
    apply_split,
    query_servers,
    query_split,
    read_split,
    send_command,
    write_split,
)

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


def test_full_disk_allows_only_the_removal_of_users_from_the_canary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def record_command(_: Path, command: str) -> str:
        commands.append(command)
        return ""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_split(tmp_path, TrafficSplit(7, 0.5))
    monkeypatch.setattr(traffic_split, "send_command", record_command)
    monkeypatch.setattr(traffic_split, "write_split", fail)
    for allocation in (0.9, 0.0):
        with pytest.raises(OSError, match="No space"):
            apply_split(tmp_path, [GATEWAY], TrafficSplit(7, allocation))
    assert len(commands) == 1
    assert "weight 0" in commands[0]
    assert read_split(tmp_path).allocation == 0.5
