"""`marquee up`: start the stack, two gateways and the champion's replicas, under a supervisor."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from experiments.config import Params
from experiments.tracking.model_registry import get_version
from experiments.tracking.store_access import tracking_uri
from marquee.errors import MarqueeError
from marquee.rollout.arms import CANARY, STABLE
from pipelines.rollout.journal import find_active_journal
from pipelines.support.bento import prepare_arm
from pipelines.support.console import create_console
from pipelines.support.model_versions import require_champion
from pipelines.support.paths import STACK_FOLDER
from pipelines.support.ports import check_port_free
from service.gateway.api_keys import API_KEY_FILE, ensure_api_key
from service.gateway.haproxy_config import GatewayConfig, find_haproxy, write_config
from service.gateway.haproxy_socket import query_servers
from service.gateway.traffic_split import NO_CANARY, TrafficSplit, write_split
from service.settings import Settings
from service.stack.circus_supervisor import SupervisorClient
from service.stack.health_checks import fetch_unready_reason, is_ready
from service.stack.pid_files import stop_all_processes
from service.stack.stack_config import Arm, StackConfig, build_replica_addresses, find_free_ports, write_arms
from service.stack.waiting import wait_until

N_GATEWAYS = 2
READY_TIMEOUT_S = 45.0
MAX_PATH_LENGTH = 80  # characters; the paths of sockets in the folder may have at most 107


def bring_up_stack(
    params: Params, *, replicas: int | None, port: int | None, host: str, events: Path
) -> None:
    """Start the stack, and wait until all replicas are ready.

    Args:
        params: parameters of the project.
        replicas: number of replicas of the champion; None for `gateway.replicas`.
        port: port of the gateways; None for `gateway.port`.
        host: address that the gateways listen on; `*` for all.
        events: folder of the events.

    Raises:
        MarqueeError: the stack is already running, HAProxy is not installed, there is no champion, the port
            is in use, or an environment variable of the replicas is invalid.
    """
    find_haproxy()
    faults = Settings.from_environment().faults  # check the environment first, because replicas inherit it
    folder = STACK_FOLDER.resolve()
    if len(str(folder)) > MAX_PATH_LENGTH:
        raise MarqueeError(
            f"{folder} is too long for the paths of sockets (at most {MAX_PATH_LENGTH} characters); move the "
            "project to a folder with a shorter path"
        )
    supervisor = SupervisorClient(folder)
    if supervisor.is_running:
        raise MarqueeError("the stack is already running; stop it first with `marquee down`")
    stack = build_stack_config(
        params,
        folder,
        replicas=replicas or params.gateway.replicas,
        port=port or params.gateway.port,
        host=host,
        events=events.resolve(),
    )
    stop_all_processes(stack.folder)  # orphans of a supervisor that was killed
    check_port_free(stack.port, "0.0.0.0" if host == "*" else host)
    start_stack(stack, _prepare_arms(params, folder))
    _print_next_commands(stack)
    if faults is not None:
        create_console().print(f"[bold red]Fault injection is on[/]: {faults}")


def start_stack(stack: StackConfig, arms: Mapping[str, Arm]) -> None:
    """Start all processes of a stack, and wait until its replicas are ready.

    Raises:
        MarqueeError: HAProxy rejects its configuration, or a replica does not become ready.
    """
    stack.save()
    write_arms(stack.folder, arms)
    _configure_gateways(stack)
    environment = {"MLFLOW_TRACKING_URI": tracking_uri()}  # absolute, for processes in other folders
    SupervisorClient(stack.folder).start_supervisor(environment)
    _wait_until_ready(stack)


def build_stack_config(
    params: Params, folder: Path, *, replicas: int, port: int, host: str, events: Path
) -> StackConfig:
    """Return the configuration of a stack; replicas and the gateways' metrics get free ports."""
    gateway = params.gateway
    n_canary = params.canary.replicas
    ports = find_free_ports(replicas + n_canary + N_GATEWAYS)
    stable_ports, canary_ports = ports[:replicas], ports[replicas : replicas + n_canary]
    metrics_ports = ports[replicas + n_canary :]
    return StackConfig(
        folder=folder,
        events=events,
        host=host,
        port=port,
        gateways=tuple(
            GatewayConfig(f"gateway-{number}", metrics_port)
            for number, metrics_port in enumerate(metrics_ports, start=1)
        ),
        replicas={
            STABLE: build_replica_addresses(STABLE, stable_ports),
            CANARY: build_replica_addresses(CANARY, canary_ports),
        },
        timeout_ms=gateway.timeout_ms,
        slow_ms=gateway.slow_ms,
        max_body_bytes=gateway.max_body_bytes,
        requests_per_10s=gateway.requests_per_10s,
        replica_settings=params.serving.to_environment(),
        controller=(sys.executable, "-m", "pipelines.rollout", str(folder), params.registration.model),
    )


def _prepare_arms(params: Params, folder: Path) -> dict[str, Arm]:
    """Return the champion, and the challenger of a rollout that was interrupted when the stack stopped."""
    champion = require_champion(params.registration.model)
    console = create_console()
    console.print(f"Champion  {champion.name} version {champion.version}")
    arms = {STABLE: prepare_arm(params, champion)}
    journal = find_active_journal(folder)
    rollout = None if journal is None else journal.read_rollout()
    if rollout is not None and rollout.outcome is None:
        challenger = get_version(params.registration.model, rollout.challenger)
        console.print(f"Rollout   {rollout.name} continues with version {challenger.version}")
        arms[CANARY] = Arm(rollout.bento, rollout.challenger)
    return arms


def _configure_gateways(stack: StackConfig) -> None:
    """Write the files that the gateways read: API key, traffic split and configuration."""
    ensure_api_key(stack.folder)
    journal = find_active_journal(stack.folder)
    rollout = None if journal is None else journal.read_rollout()
    write_split(
        stack.folder, NO_CANARY if rollout is None else TrafficSplit(rollout.salt, rollout.allocation)
    )
    for gateway in stack.gateways:
        if rollout is None:
            gateway.failure_log_path(stack.folder).unlink(missing_ok=True)  # of earlier rollouts
        write_config(stack.shared_gateway_config, gateway)


def _wait_until_ready(stack: StackConfig) -> None:
    if wait_until(lambda: _is_ready(stack), READY_TIMEOUT_S):
        return
    reasons = [fetch_unready_reason(replica.port) for replica in stack.replicas[STABLE]]
    reason = next(filter(None, reasons), "no reason reported")
    SupervisorClient(stack.folder).shut_down()
    raise MarqueeError(
        f"not all replicas became ready within {READY_TIMEOUT_S:.0f} s ({reason}); "
        f"see {stack.folder / 'logs'}"
    )


def _is_ready(stack: StackConfig) -> bool:
    """Return True if all gateways run and report all stable replicas as up, and the replicas confirm it.

    The replicas are asked as well, because a gateway reports all of them as up until its first health check.
    """
    states = [query_servers(stack.folder, gateway) for gateway in stack.gateways]
    if not all(states):
        return False
    stable = [server.is_up for state in states for server in state or () if server.backend == STABLE]
    return bool(stable) and all(stable) and all(is_ready(replica.port) for replica in stack.replicas[STABLE])


def _print_next_commands(stack: StackConfig) -> None:
    console = create_console()
    base = f"http://{stack.local_gateway_host}:{stack.port}"
    n_replicas = len(stack.replicas[STABLE])
    console.print(f"Started   {N_GATEWAYS} gateways on {base}, {n_replicas} replicas. Try:")
    key = os.path.relpath(stack.folder / API_KEY_FILE)
    console.print(f"  curl {base}/recommend/u256")
    console.print(
        f"  curl -H \"X-Api-Key: $(cat {key})\" -H 'Content-Type: application/json' {base}/feedback \\"
    )
    console.print('    -d \'{"event_id": "e1", "user": "u256", "item": "i1", "kind": "click"}\'')
    console.print("Next      marquee status, marquee canary start, marquee down")
