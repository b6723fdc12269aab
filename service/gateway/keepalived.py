"""keepalived configuration: two hosts share an IP address; if the active host dies, the other takes over."""

from dataclasses import dataclass

from service.gateway.haproxy_config import create_jinja_environment


@dataclass(frozen=True)
class KeepalivedHost:
    """One of the two hosts that share an IP address."""

    name: str
    address: str  # own IP address
    interface: str
    priority: int  # while both hosts are healthy, the one with the higher priority has the shared address


def render_keepalived(
    host: KeepalivedHost, peer: KeepalivedHost, shared: str, *, port: int, router: int = 51
) -> str:
    """Return the keepalived configuration of a host.

    Args:
        host: the host to configure.
        peer: the other host.
        shared: the shared address with its prefix length, such as 192.0.2.10/24.
        port: port of the gateways; the address moves if no gateway of the active host is healthy.
        router: VRRP router id, equal on both hosts and different from the ids of other pairs in the network.
    """
    template = create_jinja_environment().get_template("keepalived.conf.j2")
    return template.render(host=host, peer=peer, shared=shared, port=port, router=router)
