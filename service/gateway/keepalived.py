"""One address for two hosts, by keepalived: who holds it answers; when that host dies, the other takes it."""

from dataclasses import dataclass

from service.gateway.config import templates


@dataclass(frozen=True)
class Host:
    """One of the two."""

    name: str
    address: str  # its own
    interface: str
    priority: int  # the higher one holds the address while both are well


def render_address(host: Host, peer: Host, shared: str, *, port: int, router: int = 51) -> str:
    """The configuration of keepalived on a host.

    Args:
        host: the one that it is for.
        peer: the other.
        shared: the address of both, with its prefix: 192.0.2.10/24.
        port: where the gateways of a host answer; if none says that it is well, the address moves.
        router: number of the pair, the same on both, other than that of other pairs in the network.
    """
    template = templates().get_template("keepalived.conf.j2")
    return template.render(host=host, peer=peer, shared=shared, port=port, router=router)
