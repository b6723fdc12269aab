"""`marquee compose`: write the files that deploy/compose.yaml mounts, and the file with its variables."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.config import Params
from marquee.errors import ConfigError, MarqueeError
from marquee.files.atomic_write import write_atomically
from pipelines.support.bento import read_last_bento
from pipelines.support.console import create_console
from pipelines.support.paths import LOCAL_STATE
from service.gateway.api_keys import ensure_api_key, write_key_digests
from service.gateway.haproxy_config import (
    GatewayConfig,
    ReplicaAddress,
    SharedGatewayConfig,
    render_checked_draft,
    render_config,
)
from service.gateway.traffic_split import (
    NO_CANARY,
    TrafficSplit,
    apply_split,
    draw_salt,
    query_split,
    read_split,
    write_split,
)

COMPOSE = LOCAL_STATE / "compose"
CONTAINER_FOLDER = Path("/run/marquee")  # where containers mount COMPOSE
REPLICA_PORT, METRICS_PORT = 3000, 8404
RESOLVER = "127.0.0.11:53"  # Docker's DNS server inside containers
IMAGE_USER = 10001  # user and group of the image
STABLE_REPLICAS, CANARY_REPLICAS = ("stable-1", "stable-2", "stable-3"), ("canary-1",)
GATEWAYS = (GatewayConfig("gateway-1", METRICS_PORT), GatewayConfig("gateway-2", METRICS_PORT))


def write_compose_mounts(params: Params, *, image: str | None, canary: str | None, allocation: float) -> None:
    """Write .marquee/compose, and apply the allocation to running gateways.

    While the allocation is above 0, the salt is kept, so users keep their arm. At 0, it is discarded.

    Args:
        params: parameters of the project.
        image: image of the champion; None for the image of the last packaged Bento.
        canary: image of the challenger, if any.
        allocation: share of users assigned to the canary.

    Raises:
        ConfigError: the allocation is above 0 without a canary.
        MarqueeError: there is no image, or a running gateway did not apply the allocation.
    """
    if allocation and canary is None:
        raise ConfigError(f"--allocation {allocation:g} needs a canary; set its image with --canary")
    image = image or read_last_bento()["tag"]
    COMPOSE.mkdir(parents=True, exist_ok=True)
    _write_variables(params, image, canary)
    ensure_api_key(COMPOSE)
    for gateway in GATEWAYS:
        _write_gateway_config(params, gateway)
    salt = read_split(COMPOSE).salt or draw_salt()
    _apply_split(TrafficSplit(salt if allocation else 0, allocation))
    if os.getuid() == 0:  # the containers do not run as root, but must read and write these files
        for path in (COMPOSE, *COMPOSE.iterdir()):
            os.chown(path, IMAGE_USER, IMAGE_USER)
    profile = "--profile canary " if canary else ""
    create_console().print(
        f"docker compose --env-file {COMPOSE / '.env'} -f deploy/compose.yaml {profile}up -d"
    )


def _write_variables(params: Params, image: str, canary: str | None) -> None:
    """Write the environment file of deploy/compose.yaml."""
    variables = {
        "COMPOSE_PROJECT_NAME": "marquee",
        "MARQUEE_IMAGE": image,
        "MARQUEE_CANARY_IMAGE": canary or "none",
        "MARQUEE_UID": str(os.getuid() or IMAGE_USER),
        "MARQUEE_GID": str(os.getgid() or IMAGE_USER),
        "MARQUEE_PORT": str(params.gateway.port),
        "MARQUEE_SECOND_PORT": str(params.gateway.port + 1),
        **params.serving.to_environment(),
    }
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    (COMPOSE / ".env").write_text(lines, encoding="utf-8")


def _write_gateway_config(params: Params, gateway: GatewayConfig) -> None:
    """Write the configuration of a gateway, after HAProxy has checked it with paths of this machine."""
    with TemporaryDirectory(prefix="marquee-") as name:  # a short path, as sockets require
        folder = Path(name)
        write_split(folder, NO_CANARY)
        write_key_digests(folder, [])
        try:
            render_checked_draft(build_shared_gateway_config(params, folder), gateway)
        except ConfigError:
            raise
        except MarqueeError:  # HAProxy is not installed; only the check needs it on this machine
            create_console().print(
                f"HAProxy is not installed; {gateway.config_path(COMPOSE)} was not checked"
            )
    config = render_config(build_shared_gateway_config(params, CONTAINER_FOLDER), gateway)
    write_atomically(gateway.config_path(COMPOSE), config)


def _apply_split(split: TrafficSplit) -> None:
    """Save the traffic split, and apply it to the gateways that are running."""
    running = [gateway for gateway in GATEWAYS if query_split(COMPOSE, gateway, CONTAINER_FOLDER) is not None]
    failed = apply_split(COMPOSE, running, split, CONTAINER_FOLDER)
    if failed:
        raise MarqueeError(
            f"{' and '.join(failed)} did not apply the allocation; gateways apply it when they restart"
        )
    if running:
        names = " and ".join(gateway.name for gateway in running)
        create_console().print(f"{names}: {split.allocation:.1%} of users are now assigned to the canary")


def build_shared_gateway_config(params: Params, folder: Path) -> SharedGatewayConfig:
    """Return the configuration of the gateways, which reach the replicas by container name."""
    gateway = params.gateway
    return SharedGatewayConfig(
        folder=folder,
        stable=tuple(ReplicaAddress(name, REPLICA_PORT, name) for name in STABLE_REPLICAS),
        canary=tuple(ReplicaAddress(name, REPLICA_PORT, name) for name in CANARY_REPLICAS),
        port=REPLICA_PORT,
        timeout_ms=gateway.timeout_ms,
        slow_ms=gateway.slow_ms,
        max_body_bytes=gateway.max_body_bytes,
        requests_per_10s=gateway.requests_per_10s,
        resolver=RESOLVER,
    )
