"""Command `marquee up`: checks before and after the processes are started."""

from pathlib import Path

import pytest

from experiments.config import load_params
from marquee.errors import ConfigError, MarqueeError
from marquee.rollout.arms import STABLE
from pipelines.commands import up as up_command
from service.gateway.haproxy_socket import ServerState
from service.stack.stack_config import StackConfig

ROOT = Path(__file__).parents[3]


def test_stack_is_up_when_all_replicas_report_ready(
    stack: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that has just started reports all replicas as up, so its report is not sufficient."""
    first, second = (replica.port for replica in stack.replicas[STABLE])
    checked: list[int] = []

    def is_ready(port: int) -> bool:
        checked.append(port)
        return len(checked) > 3

    servers = [ServerState(STABLE, replica.name, True, 0) for replica in stack.replicas[STABLE]]
    monkeypatch.setattr(up_command, "query_servers", lambda *_: servers)
    monkeypatch.setattr(up_command, "is_ready", is_ready)
    up_command._wait_until_ready(stack)
    assert checked == [first, first, first, first, second]


def test_replica_that_does_not_become_ready_is_reported(
    stack: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = [ServerState(STABLE, replica.name, True, 0) for replica in stack.replicas[STABLE]]
    monkeypatch.setattr(up_command, "query_servers", lambda *_: servers)
    monkeypatch.setattr(up_command, "is_ready", lambda _: False)
    monkeypatch.setattr(up_command, "READY_TIMEOUT_S", 0.3)
    with pytest.raises(MarqueeError, match="became ready"):
        up_command._wait_until_ready(stack)


def test_invalid_environment_is_rejected_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARQUEE_FAULTS", "version=4")
    monkeypatch.setattr(up_command, "find_haproxy", lambda: "haproxy")
    with pytest.raises(ConfigError, match="MARQUEE_FAULTS"):
        up_command.bring_up_stack(
            load_params(ROOT / "params.yaml"), replicas=1, port=1, host="*", events=tmp_path
        )
    assert list(tmp_path.iterdir()) == []
