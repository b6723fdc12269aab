"""Print keepalived's configuration for one of two hosts that share an address."""

import ipaddress

from marquee.errors import ConfigError
from pipelines.support.console import screen
from service.gateway.keepalived import Host, render_address

FIRST, SECOND = 150, 100  # priorities


def address(*, own: str, peer: str, shared: str, interface: str, port: int, second: bool) -> None:
    """Print it.

    Raises:
        ConfigError: an address is none, or the shared one has no prefix.
    """
    hosts = [_address(own, "--own"), _address(peer, "--peer")]
    if hosts[0] == hosts[1]:
        raise ConfigError(f"--own and --peer are both {own}: they are two hosts")
    if "/" not in shared:
        raise ConfigError(f"--shared is {shared!r}: it takes an address with its prefix, as 192.0.2.10/24")
    _address(shared.partition("/")[0], "--shared")
    names, priorities = ("first", "second"), (FIRST, SECOND)
    mine, theirs = (int(second), int(not second))
    told = render_address(
        Host(names[mine], own, interface, priorities[mine]),
        Host(names[theirs], peer, interface, priorities[theirs]),
        shared,
        port=port,
    )
    screen().print(told, markup=False)


def _address(text: str, option: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ConfigError(f"{option} is {text!r}: it takes an address, as 192.0.2.1") from None
