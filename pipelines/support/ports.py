"""Check of a TCP port before a server is started on it."""

import socket

from marquee.errors import MarqueeError


def check_port_free(port: int, host: str) -> None:
    """Check that a server can listen on a port.

    Raises:
        MarqueeError: another process listens on the port, or this user is not permitted to use it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise MarqueeError(
                f"cannot listen on port {port} of {host} ({error}); choose another port with --port"
            ) from None
