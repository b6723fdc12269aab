"""Bring the stack up: two gateways, the champion's replicas, warden and controller, under a supervisor."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from experiments.config.offline import Params
from experiments.tracking.registry import champion, version_of
from experiments.tracking.store import tracking_uri
from marquee.errors import MarqueeError
from pipelines.rollout.journal import active
from pipelines.support.arms import arm_of
from pipelines.support.console import screen
from pipelines.support.paths import EVENTS, RUN
from pipelines.support.processes import refuse_taken
from service.gateway.config import KEY_FILE, Gateway, ensure_api_key, haproxy, write
from service.gateway.traffic_split import NOBODY, Split, servers_of, write_split
from service.settings import Settings
from service.stack.health_checks import ready, reason
from service.stack.launch import end_all
from service.stack.stack_config import CANARY, STABLE, Arm, Stack, free_ports, replicas_named, write_arms
from service.stack.supervisor import Supervisor
from service.stack.waiting import wait_until

GATEWAYS = 2
READY_S = 45.0
LONGEST = 80  # characters of the folder's path: a socket's has 107 at most


def up(params: Params, *, replicas: int | None, port: int | None, host: str, events: Path | None) -> None:
    """Start it, and wait until all replicas answer.

    Raises:
        MarqueeError: it runs already, HAProxy is not installed, there is no champion, the port is taken, or a
            variable of the environment cannot be used.
    """
    haproxy()
    faults = Settings.from_environment().faults  # replicas inherit the environment: refuse it here
    folder = RUN.resolve()
    if len(str(folder)) > LONGEST:
        raise MarqueeError(f"{folder} is too long a path for sockets: move the project to a shorter one")
    supervisor = Supervisor(folder)
    if supervisor.running:
        raise MarqueeError("the stack is up: `marquee status` shows it, `marquee down` ends it")
    stack = laid_out(
        params,
        folder,
        replicas=replicas or params.gateway.replicas,
        port=port or params.gateway.port,
        host=host,
        events=(events or EVENTS).resolve(),
    )
    end_all(stack.folder)  # those that an earlier supervisor left behind when it was killed
    refuse_taken(stack.port, "0.0.0.0" if host == "*" else host)
    raise_stack(stack, _arms(params, folder))
    _say(stack)
    if faults is not None:
        screen().print(f"[bold red]Fault injection is on[/]: {faults}")


def raise_stack(stack: Stack, arms: Mapping[str, Arm]) -> None:
    """Start all of a stack's processes, and wait until its replicas answer.

    Raises:
        MarqueeError: HAProxy refuses its configuration, or a replica does not become ready.
    """
    stack.save()
    write_arms(stack.folder, arms)
    _write_gateways(stack)
    environment = {"MLFLOW_TRACKING_URI": tracking_uri()}  # wherever its processes stand
    Supervisor(stack.folder).begin(environment)
    _wait(stack)


def laid_out(params: Params, folder: Path, *, replicas: int, port: int, host: str, events: Path) -> Stack:
    """What runs, and on which ports."""
    told = params.gateway
    n_stable, n_canary = replicas, params.canary.replicas
    ports = free_ports(n_stable + n_canary + GATEWAYS)
    own = ports[n_stable + n_canary :]
    return Stack(
        folder=folder,
        events=events,
        host=host,
        port=port,
        gateways=tuple(Gateway(f"gateway-{number}", own[number - 1]) for number in range(1, GATEWAYS + 1)),
        replicas={
            STABLE: replicas_named(STABLE, ports[:n_stable]),
            CANARY: replicas_named(CANARY, ports[n_stable : n_stable + n_canary]),
        },
        timeout_ms=told.timeout_ms,
        slow_ms=told.slow_ms,
        largest_body=told.max_body_bytes,
        requests_per_10s=told.requests_per_10s,
        controller=(sys.executable, "-m", "pipelines.rollout", str(folder), params.register_.model),
    )


def _arms(params: Params, folder: Path) -> dict[str, Arm]:
    """The champion, and the challenger of a rollout that was running when the stack went down."""
    version = champion(params.register_.model)
    if version is None:
        raise MarqueeError("there is no champion to serve: run `make repro` first")
    console = screen()
    console.print(f"Champion  {version.name} version {version.version}")
    arms = {STABLE: arm_of(params, version)}
    running = active(folder)
    if running is not None and running.rollout().outcome is None:
        rollout = running.rollout()
        challenger = version_of(params.register_.model, rollout.challenger)
        console.print(f"Rollout   {rollout.name} goes on, with version {challenger.version}")
        arms[CANARY] = Arm(rollout.bento, rollout.challenger)
    return arms


def _write_gateways(stack: Stack) -> None:
    ensure_api_key(stack.folder)
    running = active(stack.folder)
    rollout = None if running is None else running.rollout()
    write_split(stack.folder, NOBODY if rollout is None else Split(rollout.salt, rollout.weight))
    for gateway in stack.gateways:
        if rollout is None:
            gateway.failures(stack.folder).unlink(missing_ok=True)  # nobody reads old ones
        write(stack.site, gateway)


def _wait(stack: Stack) -> None:
    if wait_until(lambda: _is_up(stack), READY_S):
        return
    why = next(filter(None, (reason(server.port) for server in stack.replicas[STABLE])), "see the logs")
    Supervisor(stack.folder).end()
    raise MarqueeError(f"not all replicas became ready in {READY_S:.0f} s ({why}): {stack.folder / 'logs'}")


def _is_up(stack: Stack) -> bool:
    states = [servers_of(stack.folder, gateway) for gateway in stack.gateways]
    stable = [server.up for state in states for server in state or () if server.backend == STABLE]
    # To a gateway that has just started all are up until it has looked, so replicas are asked themselves.
    return all(states) and bool(stable) and all(stable) and all(ready(s.port) for s in stack.replicas[STABLE])


def _say(stack: Stack) -> None:
    console = screen()
    base = f"http://{stack.address}:{stack.port}"
    number = len(stack.replicas[STABLE])
    console.print(f"Up        {GATEWAYS} gateways on {base}, {number} replicas. Try:")
    key = os.path.relpath(stack.folder / KEY_FILE)
    console.print(f"  curl {base}/recommend/u256")
    console.print(
        f"  curl -H \"X-Api-Key: $(cat {key})\" -H 'Content-Type: application/json' {base}/feedback \\"
    )
    console.print('    -d \'{"event_id": "e1", "user": "u256", "item": "i1", "kind": "click"}\'')
    console.print("Next      marquee status, marquee canary start, marquee down")
