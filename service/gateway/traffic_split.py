"""Traffic split: change the canary's allocation while the gateways run.

A split is written to a file first and then sent to the running gateways. A gateway reads the file when it
starts, so a restart moves no user to another arm. Applying the same split twice changes nothing.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marquee.files.atomic_write import write_atomically
from service.gateway.haproxy_config import N_USER_BUCKETS, SPLIT_MAP_FILE, GatewayConfig
from service.gateway.haproxy_socket import send_command

N_SALTS = 1 << 31


@dataclass(frozen=True)
class TrafficSplit:
    """Assignment of users to arms by a hash of user and salt; the canary has the lowest hash buckets."""

    salt: int  # new for each rollout, so that each canary starts with different users
    allocation: float  # share of users assigned to the canary

    @property
    def canary_buckets(self) -> int:
        """Number of user buckets in the canary, out of `N_USER_BUCKETS`."""
        return round(self.allocation * N_USER_BUCKETS)

    @property
    def rounded_to_buckets(self) -> "TrafficSplit":
        """The split with its allocation rounded to whole buckets, as gateways report it."""
        return TrafficSplit(self.salt, self.canary_buckets / N_USER_BUCKETS)


NO_CANARY = TrafficSplit(salt=0, allocation=0.0)


def draw_salt() -> int:
    """Return a random salt for a new rollout."""
    return secrets.randbelow(N_SALTS)


def write_split(folder: Path, split: TrafficSplit) -> None:
    """Write a split to the file that gateways read when they start."""
    write_atomically(folder / SPLIT_MAP_FILE, f"salt {split.salt}\nweight {split.canary_buckets}\n")


def read_split(folder: Path) -> TrafficSplit:
    """Read the split from the file that gateways read when they start; `NO_CANARY` without a file."""
    try:
        text = (folder / SPLIT_MAP_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return NO_CANARY
    return _split_from_map(dict(line.split() for line in text.splitlines()))


def query_split(
    folder: Path, gateway: GatewayConfig, gateway_folder: Path | None = None
) -> TrafficSplit | None:
    """Return the current split of a gateway, or None if it does not respond.

    Args:
        folder: folder that the gateways share.
        gateway: the gateway to ask.
        gateway_folder: path of that folder inside the gateway's container, if it runs in one.
    """
    split_map = (gateway_folder or folder) / SPLIT_MAP_FILE
    response = send_command(gateway.socket_path(folder), f"show map {split_map}")
    if response is None:
        return None
    rows = [line.split() for line in response.splitlines()]  # address, key, value
    values = {row[1]: row[2] for row in rows if len(row) == 3}
    return _split_from_map(values) if len(values) == 2 else None


def apply_split(
    folder: Path, gateways: Sequence[GatewayConfig], split: TrafficSplit, gateway_folder: Path | None = None
) -> list[str]:
    """Apply a split to all gateways, now and after a restart; return the names of those that failed.

    The salt is sent before a positive allocation and after an allocation of 0, so that no other user gets the
    canary in between. An allocation of 0 is sent even if the file cannot be written: taking all users out of
    the canary must not depend on the disk.

    Args:
        folder: folder that the gateways share.
        gateways: all gateways, running or not.
        split: split to apply.
        gateway_folder: path of that folder inside the gateways' containers, if they run in containers.

    Raises:
        OSError: the file cannot be written.
    """
    write_error: OSError | None = None
    try:
        write_split(folder, split)
    except OSError as error:
        if split.canary_buckets:
            raise
        write_error = error
    path = (gateway_folder or folder) / SPLIT_MAP_FILE
    commands = [f"set map {path} salt {split.salt}", f"set map {path} weight {split.canary_buckets}"]
    command = "; ".join(commands if split.canary_buckets else reversed(commands))
    responses = {gateway.name: send_command(gateway.socket_path(folder), command) for gateway in gateways}
    if write_error is not None:
        raise write_error
    return [
        gateway.name
        for gateway in gateways
        if responses[gateway.name] is None
        or query_split(folder, gateway, gateway_folder) != split.rounded_to_buckets
    ]


def _split_from_map(values: dict[str, str]) -> TrafficSplit:
    return TrafficSplit(int(values["salt"]), int(values["weight"]) / N_USER_BUCKETS)
