"""Steering gateways while they run: the weight of the canary, and replicas in and out.

The file is written first: a gateway that starts reads it, so a restart puts nobody into the other arm. Then
those that run are told. Telling twice changes nothing.
"""

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_atomically
from service.gateway.config import BUCKETS, ROLLOUT, Gateway

ANSWER_S = 2.0


@dataclass(frozen=True)
class Split:
    """Who is in the canary: so many buckets of users, under this salt."""

    salt: int  # drawn anew for each rollout, so nobody is always the first to be tried upon
    weight: float  # a share of users

    @property
    def buckets(self) -> int:
        """The weight as a number of buckets; a tenth of a thousandth is the least."""
        return round(self.weight * BUCKETS)

    @property
    def told(self) -> "Split":
        """As a gateway tells it: the weight that its buckets make."""
        return Split(self.salt, self.buckets / BUCKETS)


NOBODY = Split(0, 0.0)
SALTS = 1 << 31


def draw_salt() -> int:
    """A salt for a new rollout: users are assigned to arms anew."""
    return secrets.randbelow(SALTS)


def write_split(folder: Path, split: Split) -> None:
    """Have gateways that start from now on split so; whole or not at all."""
    write_atomically(folder / ROLLOUT, f"salt {split.salt}\nweight {split.buckets}\n")


def read_split(folder: Path) -> Split:
    """What gateways that start now would do."""
    try:
        fields = dict(line.split() for line in (folder / ROLLOUT).read_text(encoding="utf-8").splitlines())
        return Split(int(fields["salt"]), int(fields["weight"]) / BUCKETS)
    except FileNotFoundError:
        return NOBODY


def split_of(folder: Path, gateway: Gateway, known: Path | None = None) -> Split | None:
    """What a gateway does now; None where it does not answer. One in a container knows another folder."""
    answer = ask(gateway.socket(folder), f"show map {(known or folder) / ROLLOUT}")
    if answer is None:
        return None
    fields = dict(line.split()[1:3] for line in answer.splitlines() if len(line.split()) == 3)
    return Split(int(fields["salt"]), int(fields["weight"]) / BUCKETS) if len(fields) == 2 else None


def steer(folder: Path, gateways: Sequence[Gateway], split: Split, known: Path | None = None) -> list[str]:
    """Have all gateways split so, now and after a restart. Returns the names of those that did not hear.

    The salt goes first where there is no canary yet, and the weight first where there is none any more, so
    in between nobody is in the canary who should not be. To take everybody out of it needs no disk:
    those that run are told though the file cannot be written.

    Raises:
        OSError: the file cannot be written.
    """
    unwritten: OSError | None = None
    try:
        write_split(folder, split)
    except OSError as error:
        if split.buckets:
            raise
        unwritten = error
    path = (known or folder) / ROLLOUT
    orders = [f"set map {path} salt {split.salt}", f"set map {path} weight {split.buckets}"]
    command = "; ".join(orders if split.buckets else reversed(orders))
    heard = {gateway.name: ask(gateway.socket(folder), command) is not None for gateway in gateways}
    if unwritten is not None:
        raise unwritten
    return [
        gateway.name
        for gateway in gateways
        if not heard[gateway.name] or split_of(folder, gateway, known) != split.told
    ]


def set_server(folder: Path, gateways: Sequence[Gateway], server: str, state: str) -> None:
    """Put a replica into a state, `ready` or `drain`, at every gateway that runs."""
    names = (f"stable/{server}", f"canary/backup-{server}", f"canary/{server}")
    for gateway in gateways:
        for name in names:
            ask(gateway.socket(folder), f"set server {name} state {state}")


@dataclass(frozen=True)
class ServerState:
    """A replica as one gateway sees it."""

    backend: str
    name: str
    up: bool
    sessions: int  # requests that it is answering
    answers: int  # since the gateway started
    errors: int  # 5xx among them
    unchanged_s: int = 0  # since it went up or down


def servers_of(folder: Path, gateway: Gateway) -> list[ServerState] | None:
    """All replicas as a gateway sees them; None where it does not answer."""
    answer = ask(gateway.socket(folder), "show stat -1 4 -1")
    if not answer:
        return None
    lines = [line.split(",") for line in answer.lstrip("# ").splitlines() if line]
    names = lines[0]
    rows = [dict(zip(names, line, strict=False)) for line in lines[1:]]
    return [
        ServerState(
            row["pxname"],
            row["svname"],
            row["status"].startswith("UP"),
            int(row["scur"] or 0),
            int(row["stot"] or 0),
            int(row["hrsp_5xx"] or 0),
            int(row.get("lastchg") or 0),
        )
        for row in rows
    ]


def ask(path: Path, command: str) -> str | None:
    """What HAProxy answers to a command on its socket; None where nobody listens, or it dies over the answer.

    Raises:
        MarqueeError: it does not understand the command.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(path))
            connection.sendall(f"{command}\n".encode())
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
    except OSError:
        return None
    whole = b"".join(pieces)
    if whole != b"\n" and not whole.endswith(b"\n\n"):  # an empty line ends each answer
        return None
    answer = whole.decode(errors="replace").strip()
    if answer.startswith("Unknown command"):
        raise MarqueeError(f"HAProxy does not understand '{command}' on {path}")
    return answer
