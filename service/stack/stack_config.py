"""Configuration of the stack: files in one folder, which `marquee up` writes and all processes read."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_atomically
from marquee.rollout.arms import CANARY, STABLE
from service.gateway.haproxy_config import GatewayConfig, ReplicaAddress, SharedGatewayConfig
from service.settings import Settings

STACK_FILE, ARMS_FILE = "stack.json", "arms.json"
WATCHDOGS = ("watchdog-1", "watchdog-2")
SUBFOLDERS = ("logs", "pids", "homes", "starts", "heartbeats")


@dataclass(frozen=True)
class Arm:
    """Bento and model version that the replicas of an arm run."""

    bento: str  # folder of the Bento
    version: int  # version of the registered model


@dataclass(frozen=True)
class StackConfig:
    """Processes of the stack and their ports."""

    folder: Path
    events: Path
    host: str
    port: int  # shared by both gateways
    gateways: tuple[GatewayConfig, ...]
    replicas: Mapping[str, tuple[ReplicaAddress, ...]]  # by arm
    timeout_ms: int
    slow_ms: int
    max_body_bytes: int
    requests_per_10s: int
    replica_settings: Mapping[str, str] = field(default_factory=dict)  # environment of all replicas
    controller: tuple[str, ...] = ()  # command of the rollout controller; empty: none

    @property
    def shared_gateway_config(self) -> SharedGatewayConfig:
        """Settings that all gateways share."""
        return SharedGatewayConfig(
            folder=self.folder,
            stable=self.replicas[STABLE],
            canary=self.replicas[CANARY],
            host=self.host,
            port=self.port,
            timeout_ms=self.timeout_ms,
            slow_ms=self.slow_ms,
            max_body_bytes=self.max_body_bytes,
            requests_per_10s=self.requests_per_10s,
        )

    @property
    def local_gateway_host(self) -> str:
        """Address of the gateways for clients on this machine."""
        return "127.0.0.1" if self.host in {"*", "0.0.0.0"} else self.host

    @property
    def all_replicas(self) -> tuple[ReplicaAddress, ...]:
        """Replicas of all arms."""
        return tuple(replica for replicas in self.replicas.values() for replica in replicas)

    @property
    def process_names(self) -> tuple[str, ...]:
        """Names of all processes, gateways first."""
        gateways = (gateway.name for gateway in self.gateways)
        replicas = (replica.name for replica in self.all_replicas)
        return (*gateways, *replicas, *self.heartbeat_processes)

    @property
    def heartbeat_processes(self) -> tuple[str, ...]:
        """Names of the processes that write heartbeats because they have no port for health checks."""
        return (*WATCHDOGS, "controller") if self.controller else WATCHDOGS

    def find_arm_of_replica(self, replica: str) -> str:
        """Return the name of the arm that a replica belongs to."""
        arms = {each.name: arm for arm, replicas in self.replicas.items() for each in replicas}
        return arms[replica]

    def find_replica(self, name: str) -> ReplicaAddress:
        """Return the replica with this name."""
        return {replica.name: replica for replica in self.all_replicas}[name]

    def save(self) -> None:
        """Write the configuration to its folder, and create the subfolders."""
        for name in SUBFOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        tree = asdict(self) | {"folder": str(self.folder), "events": str(self.events)}
        write_atomically(self.folder / STACK_FILE, json.dumps(tree, indent=2))


def load_stack_config(folder: Path) -> StackConfig:
    """Read the configuration of the stack from its folder.

    Raises:
        MarqueeError: the file does not exist or is damaged.
    """
    path = folder / STACK_FILE
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise MarqueeError(f"no stack was started in {folder}; run `marquee up`") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damage(path, error) from None


def _damage(path: Path, error: Exception) -> MarqueeError:
    return MarqueeError(f"{path} is damaged ({error!r}); run `marquee down`, then `marquee up`")


def _parse(tree: dict[str, Any]) -> StackConfig:
    replicas = tree["replicas"].items()
    tree |= {
        "folder": Path(tree["folder"]),
        "events": Path(tree["events"]),
        "gateways": tuple(GatewayConfig(**gateway) for gateway in tree["gateways"]),
        "replicas": {arm: tuple(ReplicaAddress(**each) for each in addresses) for arm, addresses in replicas},
        "controller": tuple(tree["controller"]),
    }
    return StackConfig(**tree)


def read_arms(folder: Path) -> dict[str, Arm]:
    """Read the arms by name; an arm that is missing has no running replicas.

    Raises:
        MarqueeError: the file is damaged.
    """
    path = folder / ARMS_FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return {name: Arm(**fields) for name, fields in tree.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise _damage(path, error) from None


def write_arms(folder: Path, arms: Mapping[str, Arm]) -> None:
    """Write the arms; replicas use them when they start."""
    tree = {name: asdict(arm) for name, arm in arms.items()}
    write_atomically(folder / ARMS_FILE, json.dumps(tree, indent=2))


def arms_modified_at(folder: Path) -> float:
    """Return when the arms were last written, in UTC seconds.

    A process that started before that may run another version.
    """
    return (folder / ARMS_FILE).stat().st_mtime


def build_replica_addresses(arm: str, ports: Sequence[int]) -> tuple[ReplicaAddress, ...]:
    """Return the addresses of an arm's replicas, which are numbered from 1."""
    return tuple(ReplicaAddress(f"{arm}-{number}", port) for number, port in enumerate(ports, start=1))


def replica_environment(stack: StackConfig, replica: str) -> dict[str, str]:
    """Return the environment variables of a replica (see `service.settings`), after validating them.

    Raises:
        ConfigError: a variable is invalid.
    """
    arm = stack.find_arm_of_replica(replica)
    environment = {
        **stack.replica_settings,
        "MARQUEE_ARM": arm,
        "MARQUEE_REPLICA": replica,
        "MARQUEE_EVENTS": str(stack.events),
        "MARQUEE_HOST": "127.0.0.1",
        "MARQUEE_PORT": str(stack.find_replica(replica).port),
        "MARQUEE_BENTO": read_arms(stack.folder)[arm].bento,
        "BENTOML_HOME": str(stack.folder / "homes" / replica),
        "BENTOML_DO_NOT_TRACK": "true",
        "OPENBLAS_NUM_THREADS": "1",
    }
    Settings.from_environment(environment)
    return environment


def find_free_ports(n_ports: int) -> list[int]:
    """Return ports that are not in use, all different."""
    with ExitStack() as open_sockets:
        return list(_bind_ports(n_ports, open_sockets))


def _bind_ports(n_ports: int, open_sockets: ExitStack) -> Iterator[int]:
    """Yield ports and keep them bound, so no port is yielded twice."""
    for _ in range(n_ports):
        probe = open_sockets.enter_context(socket.socket())
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        yield port
