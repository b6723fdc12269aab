"""HAProxy's command socket: send commands, query the state of the replicas, and drain them."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import MarqueeError
from service.gateway.haproxy_config import GatewayConfig

COMMAND_TIMEOUT_S = 2.0
SHOW_SERVERS = "show stat -1 4 -1"  # of all backends, only servers (4), all of them


def send_command(path: Path, command: str) -> str | None:
    """Send a command to HAProxy's socket; return the response, or None without a complete response.

    Raises:
        MarqueeError: HAProxy does not know the command.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(COMMAND_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(f"{command}\n".encode())
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
    except OSError:
        return None
    response = b"".join(chunks)
    if response != b"\n" and not response.endswith(b"\n\n"):  # an empty line ends a complete response
        return None
    text = response.decode(errors="replace").strip()
    if text.startswith("Unknown command"):
        raise MarqueeError(f"HAProxy does not know the command '{command}' (socket {path})")
    return text


def set_server_state(folder: Path, gateways: Sequence[GatewayConfig], replica: str, state: str) -> None:
    """Set a replica to `ready` or `drain` at every running gateway."""
    servers = (f"stable/{replica}", f"canary/backup-{replica}", f"canary/{replica}")
    for gateway in gateways:
        for server in servers:
            send_command(gateway.socket_path(folder), f"set server {server} state {state}")


@dataclass(frozen=True)
class ServerState:
    """State of a replica at one gateway."""

    backend: str
    name: str
    is_up: bool
    active_sessions: int  # requests in progress
    seconds_in_state: int = 0  # since the replica last went up or down


def query_servers(folder: Path, gateway: GatewayConfig) -> list[ServerState] | None:
    """Return the state of every replica at a gateway, or None if the gateway does not respond."""
    response = send_command(gateway.socket_path(folder), SHOW_SERVERS)
    if not response:
        return None
    header, *lines = [line.split(",") for line in response.lstrip("# ").splitlines() if line]
    rows = [dict(zip(header, line, strict=False)) for line in lines]
    return [
        ServerState(
            backend=row["pxname"],
            name=row["svname"],
            is_up=row["status"].startswith("UP"),
            active_sessions=int(row["scur"] or 0),
            seconds_in_state=int(row.get("lastchg") or 0),
        )
        for row in rows
    ]
