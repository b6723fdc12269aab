"""Actuator: commands without effect, interrupted promotions, and gateways that do not respond."""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from marquee.errors import MarqueeError
from marquee.rollout.arms import CANARY, STABLE
from pipelines.rollout import actuator as actuator_module
from pipelines.rollout.actuator import PROMOTED_REPLICAS_FILE, StackActuator
from pipelines.rollout.interfaces import SplitResult
from service.gateway.haproxy_config import GatewayConfig
from service.gateway.haproxy_socket import ServerState
from service.gateway.traffic_split import NO_CANARY, TrafficSplit
from service.stack.circus_supervisor import SupervisorClient
from service.stack.pid_files import RunningProcess
from service.stack.stack_config import Arm, StackConfig, read_arms, write_arms

OLD, NEW = Arm("/bentos/old", 1), Arm("/bentos/new", 2)
HALF = TrafficSplit(salt=7, allocation=0.5)

FindProcess = Callable[[Path, str], RunningProcess | None]


class RecordingSupervisor(SupervisorClient):
    """Supervisor that records commands instead of executing them."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def start_process(self, name: str) -> None:
        self.commands.append(f"start {name}")

    def stop_process(self, name: str) -> None:
        self.commands.append(f"stop {name}")

    def restart_process(self, name: str) -> None:
        self.commands.append(f"restart {name}")


@pytest.fixture(autouse=True)
def arms(stack: StackConfig) -> None:
    write_arms(stack.folder, {STABLE: OLD, CANARY: NEW})


def make_actuator(
    stack: StackConfig, supervisor: SupervisorClient, find_process: FindProcess
) -> StackActuator:
    """Return an actuator whose gateways report all replicas as up, and whose replicas are always ready."""
    servers = [ServerState("stable", replica.name, True, 0) for replica in stack.all_replicas]
    return StackActuator(
        stack,
        supervisor=supervisor,
        query_servers=lambda *_: servers,
        find_process=find_process,
        is_ready=lambda _: True,
        start_timeout_s=0.2,
    )


def no_process(_: Path, name: str) -> RunningProcess | None:
    return None


def same_process(_: Path, name: str) -> RunningProcess | None:
    return RunningProcess(7, 1.0)


def new_process_each_time() -> FindProcess:
    pids = count()
    return lambda *_: RunningProcess(next(pids), 1.0)


def test_command_that_the_supervisor_does_not_execute_is_an_error(stack: StackConfig) -> None:
    actuator = make_actuator(stack, SupervisorClient(stack.folder, timeout_s=0.2), no_process)
    with pytest.raises(MarqueeError, match="did not restart stable-1"):
        actuator.update_stable_replicas(NEW)
    with pytest.raises(MarqueeError, match="did not stop canary-1"):
        actuator.stop_canary()
    assert not (stack.folder / PROMOTED_REPLICAS_FILE).exists()
    assert CANARY in read_arms(stack.folder)


def test_old_process_that_still_responds_does_not_count_as_restarted(stack: StackConfig) -> None:
    actuator = make_actuator(stack, RecordingSupervisor(), same_process)
    with pytest.raises(MarqueeError, match="stable-1 did not become ready"):
        actuator.update_stable_replicas(NEW)


@pytest.mark.parametrize(
    ("progress", "remaining"),
    [
        ("", ["stable-1", "stable-2"]),
        ("2", ["stable-1", "stable-2"]),
        ("2\nstable-1", ["stable-2"]),
        ("1\nstable-1\nstable-2", ["stable-1", "stable-2"]),  # left by an earlier promotion
        ("\n", ["stable-1", "stable-2"]),
    ],
)
def test_interrupted_promotion_restarts_only_remaining_replicas(
    stack: StackConfig, progress: str, remaining: list[str]
) -> None:
    supervisor = RecordingSupervisor()
    write_arms(stack.folder, {STABLE: NEW})
    (stack.folder / PROMOTED_REPLICAS_FILE).write_text(progress)
    actuator = make_actuator(stack, supervisor, new_process_each_time())
    for _ in range(2):  # the second call does nothing
        actuator.update_stable_replicas(NEW)
        assert supervisor.commands == [f"restart {name}" for name in remaining]


@pytest.mark.parametrize(("age_s", "command"), [(60, "restart"), (-60, "start")])
def test_canary_replica_older_than_the_arms_is_restarted(
    stack: StackConfig, age_s: int, command: str
) -> None:
    supervisor = RecordingSupervisor()
    process = RunningProcess(7, time.time() - age_s)
    make_actuator(stack, supervisor, lambda *_: process).start_canary(NEW)
    assert supervisor.commands == [f"{command} canary-1"]


@pytest.mark.parametrize(
    ("splits", "result"),
    [
        ([HALF, HALF], SplitResult.APPLIED),
        ([HALF, None], SplitResult.APPLIED),
        ([HALF, NO_CANARY], SplitResult.NOT_APPLIED),
        ([None, None], SplitResult.NO_RESPONSE),
    ],
)
def test_split_is_applied_if_all_responding_gateways_report_it(
    stack: StackConfig,
    monkeypatch: pytest.MonkeyPatch,
    splits: list[TrafficSplit | None],
    result: SplitResult,
) -> None:
    def query_split(_: Path, gateway: GatewayConfig) -> TrafficSplit | None:
        return splits[stack.gateways.index(gateway)]

    monkeypatch.setattr(actuator_module, "query_split", query_split)
    assert make_actuator(stack, RecordingSupervisor(), no_process).set_traffic_split(HALF) == result
