"""Run DVC, and read the stages of dvc.yaml."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from marquee.errors import MarqueeError

DVC_FILE = Path("dvc.yaml")


def run_dvc(*arguments: str) -> None:
    """Run DVC from this virtual environment; its output and that of the stages go to the terminal.

    Raises:
        MarqueeError: DVC or a stage failed, after printing its own message.
    """
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    # With this variable, every stage would compile all its imports again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.run([str(programs / "dvc"), *arguments], env=environment, check=False)
    if process.returncode != 0:
        raise MarqueeError(f"`dvc {' '.join(arguments)}` failed; see the message above")


def read_stage_names() -> tuple[str, ...]:
    """Return the names of the stages in the order of dvc.yaml."""
    return tuple(yaml.safe_load(DVC_FILE.read_text(encoding="utf-8"))["stages"])
