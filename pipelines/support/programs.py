"""Running another program to its end."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from marquee.errors import MarqueeError


def run_program(
    command: Sequence[str], failure: str, *, folder: Path | None = None, environment: Mapping[str, str]
) -> None:
    """Run a program and wait for its end; what it prints is not shown.

    Args:
        command: the program and its arguments.
        failure: how the error message begins.
        folder: where it runs; None: here.
        environment: all of its variables.

    Raises:
        MarqueeError: it ended with an error, with the last line that it printed.
    """
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no output"]
        raise MarqueeError(f"{failure}: {lines[-1].strip()}")
