"""Traffic split: a full disk."""

import errno
from pathlib import Path

import pytest

from service.gateway import traffic_split
from service.gateway.haproxy_config import GatewayConfig
from service.gateway.traffic_split import TrafficSplit, apply_split, read_split, write_split

GATEWAY = GatewayConfig("gateway-1", 1)


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
