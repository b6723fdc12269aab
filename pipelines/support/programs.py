"""Run other programs, or replace this process with one."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from marquee.errors import MarqueeError


def run_program(
    command: Sequence[str], failure: str, *, folder: Path | None = None, environment: Mapping[str, str]
) -> None:
    """Run a program until it exits, without showing its output.

    Args:
        command: program and arguments.
        failure: start of the error message.
        folder: working directory; None for the current one.
        environment: all environment variables of the program.

    Raises:
        MarqueeError: the program failed; the message ends with the last line of its output.
    """
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        output = (process.stdout + process.stderr).splitlines()
        lines = [line for line in output if line.strip()] or ["no output"]
        raise MarqueeError(f"{failure}: {lines[-1].strip()}")


def replace_process(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process with a program of the same virtual environment.

    A child process would survive if this process were killed, and would keep its port.
    """
    path = str(Path(sys.executable).with_name(program))
    sys.stdout.flush()  # exec discards buffered output
    os.execve(path, [path, *arguments], {**os.environ, **(environment or {})})
