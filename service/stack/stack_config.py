"""What the stack consists of, in files below one folder: `marquee up` writes them, all its processes read."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_atomically
from service.gateway.config import Gateway, Server, Site
from service.settings import Settings

STACK, ARMS_FILE = "stack.json", "arms.json"
STABLE, CANARY = "stable", "canary"
WARDENS = ("warden-1", "warden-2")
FOLDERS = ("logs", "pids", "homes", "starts", "beats")


@dataclass(frozen=True)
class Arm:
    """What the replicas of an arm are started with."""

    bento: str  # folder of the Bento
    version: int  # of the registered model


@dataclass(frozen=True)
class Stack:
    """Processes and ports."""

    folder: Path
    events: Path
    host: str
    port: int  # of both gateways
    gateways: tuple[Gateway, ...]
    replicas: Mapping[str, tuple[Server, ...]]  # by arm
    timeout_ms: int
    slow_ms: int
    largest_body: int
    requests_per_10s: int
    controller: tuple[str, ...] = ()  # command that walks through rollouts; empty: none

    @property
    def site(self) -> Site:
        """What the gateways are told."""
        return Site(
            folder=self.folder,
            stable=self.replicas[STABLE],
            canary=self.replicas[CANARY],
            host=self.host,
            port=self.port,
            timeout_ms=self.timeout_ms,
            slow_ms=self.slow_ms,
            largest_body=self.largest_body,
            requests_per_10s=self.requests_per_10s,
        )

    @property
    def address(self) -> str:
        """Where this machine reaches the gateways."""
        return "127.0.0.1" if self.host in {"*", "0.0.0.0"} else self.host

    def arm_of(self, replica: str) -> str:
        """Which arm a replica belongs to."""
        return next(arm for arm, servers in self.replicas.items() if replica in {s.name for s in servers})

    def server(self, replica: str) -> Server:
        """A replica by its name."""
        return next(s for servers in self.replicas.values() for s in servers if s.name == replica)

    @property
    def names(self) -> tuple[str, ...]:
        """Every process, gateways first."""
        replicas = (server.name for servers in self.replicas.values() for server in servers)
        return (*(gateway.name for gateway in self.gateways), *replicas, *self.beating)

    @property
    def beating(self) -> tuple[str, ...]:
        """Processes that nobody asks, so they show that they are alive."""
        return (*WARDENS, "controller") if self.controller else WARDENS

    def save(self) -> None:
        """Write it where the processes read it."""
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        tree = asdict(self) | {"folder": str(self.folder), "events": str(self.events)}
        write_atomically(self.folder / STACK, json.dumps(tree, indent=2))


def load_stack(folder: Path) -> Stack:
    """The stack of a folder.

    Raises:
        MarqueeError: there is none.
    """
    try:
        tree = json.loads((folder / STACK).read_text(encoding="utf-8"))
        tree |= {
            "folder": Path(tree["folder"]),
            "events": Path(tree["events"]),
            "gateways": tuple(Gateway(**gateway) for gateway in tree["gateways"]),
            "replicas": {arm: tuple(Server(**s) for s in told) for arm, told in tree["replicas"].items()},
            "controller": tuple(tree["controller"]),
        }
        return Stack(**tree)
    except FileNotFoundError:
        raise MarqueeError(f"nothing was started from {folder}: run `marquee up` first") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MarqueeError(
            f"{folder / STACK} is damaged ({error!r}): `marquee down`, then `marquee up`"
        ) from None


def read_arms(folder: Path) -> dict[str, Arm]:
    """What each arm is started with; an arm that is not there has no replicas."""
    try:
        tree: dict[str, Any] = json.loads((folder / ARMS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {arm: Arm(**told) for arm, told in tree.items()}


def write_arms(folder: Path, arms: Mapping[str, Arm]) -> None:
    """Have replicas that start from now on use these."""
    write_atomically(
        folder / ARMS_FILE, json.dumps({arm: asdict(told) for arm, told in arms.items()}, indent=2)
    )


def arms_since(folder: Path) -> float:
    """Since when, in UTC seconds; who was started before may run on something else."""
    return (folder / ARMS_FILE).stat().st_mtime


def replicas_named(arm: str, ports: Sequence[int]) -> tuple[Server, ...]:
    """Replicas of an arm, numbered from 1."""
    return tuple(Server(f"{arm}-{number}", port) for number, port in enumerate(ports, start=1))


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as held:
        return list(_held_ports(number, held))


def _held_ports(number: int, held: ExitStack) -> Iterator[int]:
    for _ in range(number):
        probe = held.enter_context(socket.socket())
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def settings_for(stack: Stack, replica: str) -> dict[str, str]:
    """Environment of a replica (see `service.settings`)."""
    settings = {
        "MARQUEE_ARM": stack.arm_of(replica),
        "MARQUEE_REPLICA": replica,
        "MARQUEE_EVENTS": str(stack.events),
        "MARQUEE_HOST": "127.0.0.1",
        "MARQUEE_PORT": str(stack.server(replica).port),
        "MARQUEE_BENTO": read_arms(stack.folder)[stack.arm_of(replica)].bento,
        "BENTOML_HOME": str(stack.folder / "homes" / replica),
        "BENTOML_DO_NOT_TRACK": "true",
        "OPENBLAS_NUM_THREADS": "1",
    }
    Settings.from_environment(settings)  # refused here rather than in a log
    return settings


__all__ = ["Arm", "Stack", "load_stack", "read_arms", "replace", "write_arms"]
