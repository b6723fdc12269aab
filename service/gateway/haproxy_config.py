"""HAProxy configuration of the gateways: rendered from a template, and checked by HAProxy before use."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from marquee.errors import ConfigError, MarqueeError
from marquee.files.atomic_write import move_into_place
from service.gateway.api_keys import KEY_DIGESTS_FILE

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "haproxy.cfg.j2"
N_USER_BUCKETS = 10_000  # users are hashed into buckets; an allocation is a number of buckets
SPLIT_MAP_FILE = "rollout.map"  # traffic split, read by HAProxy
PROBE_PATH = "/marquee/probe"  # always fails, to check that failures are recorded


@dataclass(frozen=True)
class ReplicaAddress:
    """Address of a replica, as a gateway reaches it."""

    name: str
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class SharedGatewayConfig:
    """Settings that all gateways of a stack share."""

    folder: Path  # contains the traffic split, the API key digests and the sockets
    stable: tuple[ReplicaAddress, ...]
    canary: tuple[ReplicaAddress, ...]  # may be down, which health checks detect
    host: str = "*"
    port: int = 3000
    timeout_ms: int = 300  # time limit of a replica; slightly above the slowest normal response
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


def create_jinja_environment() -> "Environment":
    """Return the Jinja environment of the templates in this folder; an undefined variable is an error."""
    # Imported late: each process of the stack imports this module when it starts, and a restart must be fast.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # the templates are not HTML
        keep_trailing_newline=True,
    )


def render_config(shared: SharedGatewayConfig, gateway: GatewayConfig) -> str:
    """Return the HAProxy configuration of a gateway."""
    template = create_jinja_environment().get_template(TEMPLATE)
    return template.render(
        shared=shared,
        socket=gateway.socket_path(shared.folder),
        metrics_port=gateway.metrics_port,
        key_digests=shared.folder / KEY_DIGESTS_FILE,
        split_map=shared.folder / SPLIT_MAP_FILE,
        n_user_buckets=N_USER_BUCKETS,
        probe_path=PROBE_PATH,
    )


def write_config(shared: SharedGatewayConfig, gateway: GatewayConfig) -> Path:
    """Write the configuration of a gateway after HAProxy has accepted it, and return its path.

    Raises:
        ConfigError: HAProxy rejects it; the message quotes HAProxy.
        MarqueeError: HAProxy is not installed.
    """
    path = gateway.config_path(shared.folder)
    move_into_place(render_checked_draft(shared, gateway), path)
    return path


def render_checked_draft(shared: SharedGatewayConfig, gateway: GatewayConfig) -> Path:
    """Write a draft of the configuration, check it with HAProxy, and return its path.

    Raises:
        ConfigError: HAProxy rejects it; the message quotes HAProxy.
        MarqueeError: HAProxy is not installed.
    """
    draft = gateway.config_path(shared.folder).with_suffix(".draft")
    draft.write_text(render_config(shared, gateway), encoding="utf-8")
    command = [find_haproxy(), "-c", "-f", str(draft)]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    if check.returncode != 0:
        alerts = [line for line in check.stderr.splitlines() if "ALERT" in line] or ["no reason given"]
        raise ConfigError(f"HAProxy rejects {draft}: {alerts[0]}")
    return draft
