"""What a gateway is told: rendered from one template, and checked by HAProxy itself before it is used."""

import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from marquee.errors import ConfigError, MarqueeError
from marquee.files.atomic_write import move_into_place, write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "haproxy.cfg.j2"
BUCKETS = 10_000  # of users; a weight is a number of buckets
ROLLOUT, KEYS = "rollout.map", "keys.sha256"
KEY_FILE = "api-key"  # the key of whoever started the stack
PROBE = "/marquee/probe"  # fails on purpose, so that one can see that failures are seen


@dataclass(frozen=True)
class Server:
    """One replica, as a gateway reaches it."""

    name: str
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Site:
    """What both gateways have in common."""

    folder: Path  # holds the maps of weights and of keys, and the sockets
    stable: tuple[Server, ...]
    canary: tuple[Server, ...]  # places for them; whether they are there, health checks find out
    host: str = "*"
    port: int = 3000
    timeout_ms: int = 300  # of a replica, just above what the slowest answers take
    slow_ms: int = 100  # slower answers are written down
    largest_body: int = 1 << 20  # bytes
    requests_per_10s: int = 2000  # of one client
    connections: int = 4000
    resolver: str | None = None  # address of a name server, where replicas have names and come and go


@dataclass(frozen=True)
class Gateway:
    """What one of them has for itself."""

    name: str
    metrics_port: int  # on this machine only: /livez and /metrics

    def socket(self, folder: Path) -> Path:
        """Where it takes commands."""
        return folder / f"{self.name}.sock"

    def configuration(self, folder: Path) -> Path:
        """Where its configuration is."""
        return folder / f"{self.name}.cfg"

    def failures(self, folder: Path) -> Path:
        """Where it writes down what failed."""
        return folder / f"{self.name}.failures"


def haproxy() -> str:
    """The program.

    Raises:
        MarqueeError: it is not installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("haproxy", path=path)
    if found is None:
        raise MarqueeError("HAProxy is not installed: `apt-get install haproxy` (2.6 or later), then again")
    return found


def templates() -> "Environment":
    """Those of this folder; a name that is not given is an error and no blank."""
    # Whoever starts a process of the stack imports this module, and a killed gateway should be back at once.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # it is no HTML
        keep_trailing_newline=True,
    )


def render(site: Site, gateway: Gateway) -> str:
    """The configuration of a gateway."""
    return (
        templates()
        .get_template(TEMPLATE)
        .render(
            site=site,
            socket=gateway.socket(site.folder),
            metrics_port=gateway.metrics_port,
            keys=site.folder / KEYS,
            rollout=site.folder / ROLLOUT,
            buckets=BUCKETS,
            probe=PROBE,
        )
    )


def write(site: Site, gateway: Gateway) -> Path:
    """Render, have HAProxy check it, and only then put it where the gateway reads it.

    Raises:
        ConfigError: HAProxy refuses it, in its own words.
        MarqueeError: HAProxy is not installed.
    """
    path = gateway.configuration(site.folder)
    move_into_place(check(site, gateway), path)
    return path


def check(site: Site, gateway: Gateway) -> Path:
    """A draft that HAProxy agrees to.

    Raises:
        ConfigError: HAProxy refuses it, in its own words.
        MarqueeError: HAProxy is not installed.
    """
    draft = gateway.configuration(site.folder).with_suffix(".draft")
    draft.write_text(render(site, gateway), encoding="utf-8")
    checked = subprocess.run([haproxy(), "-c", "-f", str(draft)], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        said = [line for line in checked.stderr.splitlines() if "ALERT" in line] or ["no reason given"]
        raise ConfigError(f"HAProxy refuses {draft}: {said[0]}")
    return draft


def write_keys(folder: Path, keys: Iterable[str]) -> None:
    """Keys of those who may write, as digests."""
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    write_atomically(folder / KEYS, "".join(f"{digest}\n" for digest in digests), mode=0o600)


def ensure_api_key(folder: Path) -> None:
    """Have a key in `KEY_FILE`, the one that is there or a new one, and let in who has it."""
    path = folder / KEY_FILE
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24), mode=0o600)
    write_keys(folder, [path.read_text(encoding="utf-8")])
