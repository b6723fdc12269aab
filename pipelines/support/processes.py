"""What `marquee ui` and `marquee serve` share: a free port, and becoming the server's process."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

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


def become(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process by a program of this environment.

    Not a child: a signal to us would leave the server behind, on a port that then is not free.
    """
    path = str(Path(sys.executable).with_name(program))
    sys.stdout.flush()  # what was printed goes with this process's memory otherwise
    os.execve(path, [path, *arguments], {**os.environ, **(environment or {})})
