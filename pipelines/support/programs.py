"""Running other programs, replacing this process by one, and checking ports."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from marquee.errors import MarqueeError


def run_program(
    command: Sequence[str], failure: str, *, folder: Path | None = None, environment: Mapping[str, str]
) -> None:
    """Run a program to its end, without showing its output.

    Args:
        command: Program and arguments.
        failure: Start of the error message.
        folder: Working directory; None for the current one.
        environment: All environment variables of the program.

    Raises:
        MarqueeError: The program failed; the message ends with the last line of its output.
    """
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        output = (process.stdout + process.stderr).splitlines()
        lines = [line for line in output if line.strip()] or ["no output"]
        raise MarqueeError(f"{failure}: {lines[-1].strip()}")


def replace_process(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process by a program of the same virtual environment.

    A child process would survive a signal sent to this one, and keep its port.
    """
    path = str(Path(sys.executable).with_name(program))
    sys.stdout.flush()  # exec discards buffered output
    os.execve(path, [path, *arguments], {**os.environ, **(environment or {})})


def check_port_free(port: int, host: str) -> None:
    """Check that a server can listen on a port.

    Raises:
        MarqueeError: Another process listens on it, or this user may not use it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise MarqueeError(
                f"cannot listen on port {port} of {host} ({error}); choose another port with --port"
            ) from None
