"""`marquee keepalived`: print the configuration of one of two hosts that share an address."""

import ipaddress
from typing import NamedTuple

from marquee.errors import ConfigError
from pipelines.support.console import create_console
from service.gateway.keepalived import KeepalivedHost, render_keepalived


class _Role(NamedTuple):
    name: str
    priority: int


PRIMARY, BACKUP = _Role("first", 150), _Role("second", 100)


def print_keepalived_config(
    *, own: str, peer: str, shared: str, interface: str, port: int, second: bool
) -> None:
    """Print the configuration for the host `own`.

    Args:
        own: address of the host to configure.
        peer: address of the other host.
        shared: address that the hosts share, with its prefix length.
        interface: network interface of the addresses.
        port: port of the gateways.
        second: True for the backup host.

    Raises:
        ConfigError: an address is invalid.
    """
    if _parse_address(own, "--own") == _parse_address(peer, "--peer"):
        raise ConfigError(f"--own and --peer must be different addresses (got {own} for both)")
    _check_shared_address(shared)
    own_role, peer_role = (BACKUP, PRIMARY) if second else (PRIMARY, BACKUP)
    config = render_keepalived(
        KeepalivedHost(own_role.name, own, interface, own_role.priority),
        KeepalivedHost(peer_role.name, peer, interface, peer_role.priority),
        shared,
        port=port,
    )
    create_console().print(config, markup=False)


def _check_shared_address(shared: str) -> None:
    """Raise ConfigError unless `shared` is an address with a prefix length that keepalived accepts."""
    _, _, prefix_length = shared.partition("/")
    try:
        ipaddress.ip_interface(shared)
        is_valid = prefix_length.isdecimal()  # neither missing nor a netmask
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigError(
            f"--shared must be an IP address with a prefix length, such as 192.0.2.10/24 (got {shared!r})"
        )


def _parse_address(text: str, option: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ConfigError(f"{option} must be an IP address, such as 192.0.2.1 (got {text!r})") from None
