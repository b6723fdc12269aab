"""Ports: said in one line when taken, before a server says it in fifty."""

import socket

from marquee.errors import MarqueeError


def refuse_taken(port: int, host: str) -> None:
    """Refuse a port that another process listens on, or that this user may not use.

    Raises:
        MarqueeError: it cannot be bound.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise MarqueeError(
                f"port {port} of {host} is not free ({error}): choose another with --port"
            ) from None
