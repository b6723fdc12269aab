"""One address for two hosts, by keepalived: who holds it answers; when that host dies, the other takes it."""

from dataclasses import dataclass
from pathlib import Path

from service.gateway.configuration import templates


@dataclass(frozen=True)
class Host:
    """One of the two."""

    name: str
    address: str  # its own
    interface: str
    priority: int  # the higher one holds the address while both are well


def render_address(
    host: Host, peer: Host, shared: str, *, router: int = 51, told_by: Path | None = None
) -> str:
    """The configuration of keepalived on a host.

    Args:
        host: the one that it is for.
        peer: the other.
        shared: the address of both, with its prefix: 192.0.2.10/24.
        router: number of the pair, the same on both, other than that of other pairs in the network.
        told_by: a file that says how well the gateways are; None: keepalived looks for the process, which it
            cannot tell from that of another network namespace.
    """
    template = templates().get_template("keepalived.conf.j2")
    return template.render(host=host, peer=peer, shared=shared, router=router, told_by=told_by)
