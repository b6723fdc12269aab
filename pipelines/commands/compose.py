"""Write what deploy/compose.yaml mounts: the gateways' configuration, the split, the keys, its variables."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.config.offline import Params
from marquee.errors import ConfigError, MarqueeError
from marquee.files.atomic_write import write_atomically
from pipelines.stages.package import packaged_here
from pipelines.support.console import screen
from pipelines.support.paths import STATE
from service.gateway.config import (
    Gateway,
    Server,
    Site,
    check,
    ensure_api_key,
    render,
    write_keys,
)
from service.gateway.traffic_split import NOBODY, Split, draw_salt, read_split, split_of, steer, write_split

COMPOSE = STATE / "compose"
INSIDE = Path("/run/marquee")
REPLICA_PORT, METRICS_PORT = 3000, 8404
RESOLVER = "127.0.0.11:53"  # Docker's own, inside of a container
NOBODY_MUCH = 10001  # the user of the image
STABLE, CANARY = ("stable-1", "stable-2", "stable-3"), ("canary-1",)
GATEWAYS = (Gateway("gateway-1", METRICS_PORT), Gateway("gateway-2", METRICS_PORT))


def compose(params: Params, *, image: str | None, canary: str | None, weight: float) -> None:
    """Write .marquee/compose, and tell gateways that run. A weight that grows keeps the salt, 0 forgets it.

    Raises:
        ConfigError: users are to get a canary, and there is none.
        MarqueeError: no image is named, and none was built here; or a gateway that runs did not hear.
    """
    if weight and canary is None:
        raise ConfigError(f"--weight {weight:g} sends users to a canary: name its image with --canary")
    told = {
        "COMPOSE_PROJECT_NAME": "marquee",
        "MARQUEE_IMAGE": image or packaged_here()["tag"],
        "MARQUEE_CANARY_IMAGE": canary or "none",
        "MARQUEE_UID": str(os.getuid() or NOBODY_MUCH),
        "MARQUEE_GID": str(os.getgid() or NOBODY_MUCH),
        "MARQUEE_PORT": str(params.gateway.port),
        "MARQUEE_SECOND_PORT": str(params.gateway.port + 1),
    }
    COMPOSE.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name}={value}\n" for name, value in told.items())
    (COMPOSE / ".env").write_text(lines, encoding="utf-8")
    ensure_api_key(COMPOSE)
    for gateway in GATEWAYS:
        _configure(params, gateway)
    salt = read_split(COMPOSE).salt or draw_salt()
    _tell(Split(salt if weight else 0, weight))
    if os.getuid() == 0:  # the containers are never root: what they read and write is theirs
        for path in (COMPOSE, *COMPOSE.iterdir()):
            os.chown(path, NOBODY_MUCH, NOBODY_MUCH)
    profile = "--profile canary " if canary else ""
    screen().print(f"docker compose --env-file {COMPOSE / '.env'} -f deploy/compose.yaml {profile}up -d")


def _configure(params: Params, gateway: Gateway) -> None:
    """What a gateway reads in its container; HAProxy agrees first to the same with paths of this machine."""
    with TemporaryDirectory(prefix="marquee-") as name:  # names of sockets are short
        folder = Path(name)
        write_split(folder, NOBODY)
        write_keys(folder, [])
        try:
            check(site_of(params, folder), gateway)
        except ConfigError:
            raise
        except MarqueeError:  # it need not be installed where containers are
            screen().print(f"Not checked, for there is no HAProxy here: {gateway.configuration(COMPOSE)}")
    write_atomically(gateway.configuration(COMPOSE), render(site_of(params, INSIDE), gateway))


def _tell(split: Split) -> None:
    running = [gateway for gateway in GATEWAYS if split_of(COMPOSE, gateway, INSIDE) is not None]
    deaf = steer(COMPOSE, running, split, INSIDE)
    if deaf:
        raise MarqueeError(f"{' and '.join(deaf)} did not take the weight: restart it, it reads it then")
    if running:
        names = " and ".join(gateway.name for gateway in running)
        screen().print(f"{names}: {split.weight:.1%} of users go to the canary from now on")


def site_of(params: Params, folder: Path) -> Site:
    """The gateways' site, its replicas called by their names."""
    told = params.gateway
    return Site(
        folder=folder,
        stable=tuple(Server(name, REPLICA_PORT, name) for name in STABLE),
        canary=tuple(Server(name, REPLICA_PORT, name) for name in CANARY),
        port=REPLICA_PORT,
        timeout_ms=told.timeout_ms,
        slow_ms=told.slow_ms,
        largest_body=told.max_body_bytes,
        requests_per_10s=told.requests_per_10s,
        resolver=RESOLVER,
    )
