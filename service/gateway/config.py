"""Configuration of the gateways: rendered from one template, and checked by HAProxy before it is used."""

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
N_USER_BUCKETS = 10_000  # users are hashed into buckets; an allocation is a number of buckets
SPLIT_MAP, KEY_DIGESTS = "rollout.map", "keys.sha256"  # files that HAProxy reads
API_KEY_FILE = "api-key"  # the key of the user who started the stack
PROBE_PATH = "/marquee/probe"  # always fails, to check that failures are recorded


@dataclass(frozen=True)
class ReplicaAddress:
    """Address of a replica, as a gateway reaches it."""

    name: str
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class SiteConfig:
    """Settings that all gateways of a site share."""

    folder: Path  # contains the traffic split, the API key digests and the sockets
    stable: tuple[ReplicaAddress, ...]
    canary: tuple[ReplicaAddress, ...]  # may be down; health checks detect it
    host: str = "*"
    port: int = 3000
    timeout_ms: int = 300  # time limit for a replica; slightly above the slowest normal response
    slow_ms: int = 100  # slower responses are logged
    max_body_bytes: int = 1 << 20
    requests_per_10s: int = 2000  # rate limit of one client
    max_connections: int = 4000
    resolver: str | None = None  # address of a DNS server, if replicas have host names that come and go


@dataclass(frozen=True)
class GatewayConfig:
    """Settings of one gateway."""

    name: str
    metrics_port: int  # serves /livez and /metrics on the loopback interface

    def socket_path(self, folder: Path) -> Path:
        """Return the path of the UNIX socket that takes commands."""
        return folder / f"{self.name}.sock"

    def config_path(self, folder: Path) -> Path:
        """Return the path of the HAProxy configuration."""
        return folder / f"{self.name}.cfg"

    def failure_log_path(self, folder: Path) -> Path:
        """Return the path of the log of failed and slow requests."""
        return folder / f"{self.name}.failures"


def find_haproxy() -> str:
    """Return the path of the HAProxy program.

    Raises:
        MarqueeError: HAProxy is not installed.
    """
    search_path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("haproxy", path=search_path)
    if program is None:
        raise MarqueeError("HAProxy 2.6 or later is not installed (apt-get install haproxy)")
    return program


def template_environment() -> "Environment":
    """Return the Jinja environment of the templates in this folder; an undefined variable is an error."""
    # Imported late: each process of the stack imports this module when it starts, and a restart must be fast.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # the templates are not HTML
        keep_trailing_newline=True,
    )


def render_config(site: SiteConfig, gateway: GatewayConfig) -> str:
    """Return the HAProxy configuration of a gateway."""
    template = template_environment().get_template(TEMPLATE)
    return template.render(
        site=site,
        socket=gateway.socket_path(site.folder),
        metrics_port=gateway.metrics_port,
        key_digests=site.folder / KEY_DIGESTS,
        split_map=site.folder / SPLIT_MAP,
        n_user_buckets=N_USER_BUCKETS,
        probe_path=PROBE_PATH,
    )


def write_config(site: SiteConfig, gateway: GatewayConfig) -> Path:
    """Write the configuration of a gateway after HAProxy has accepted it, and return its path.

    Raises:
        ConfigError: HAProxy rejects it; the message is HAProxy's own.
        MarqueeError: HAProxy is not installed.
    """
    path = gateway.config_path(site.folder)
    move_into_place(check_config(site, gateway), path)
    return path


def check_config(site: SiteConfig, gateway: GatewayConfig) -> Path:
    """Write a draft of the configuration, let HAProxy check it, and return its path.

    Raises:
        ConfigError: HAProxy rejects it; the message is HAProxy's own.
        MarqueeError: HAProxy is not installed.
    """
    draft = gateway.config_path(site.folder).with_suffix(".draft")
    draft.write_text(render_config(site, gateway), encoding="utf-8")
    command = [find_haproxy(), "-c", "-f", str(draft)]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    if check.returncode != 0:
        alerts = [line for line in check.stderr.splitlines() if "ALERT" in line] or ["no reason given"]
        raise ConfigError(f"HAProxy rejects {draft}: {alerts[0]}")
    return draft


def write_key_digests(folder: Path, keys: Iterable[str]) -> None:
    """Write the digests of the accepted API keys; the keys themselves are not stored there."""
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    write_atomically(folder / KEY_DIGESTS, "".join(f"{digest}\n" for digest in digests), mode=0o600)


def ensure_api_key(folder: Path) -> None:
    """Create an API key in `API_KEY_FILE` unless the file exists, and make the gateways accept it."""
    path = folder / API_KEY_FILE
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24), mode=0o600)
    write_key_digests(folder, [path.read_text(encoding="utf-8")])
