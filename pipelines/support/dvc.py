"""The graph of dvc.yaml, run by DVC's own command."""

import os
import subprocess
import sys
from pathlib import Path

from marquee.errors import MarqueeError


def dvc(*arguments: str) -> None:
    """Run DVC in this environment, its output and that of the stages straight to the terminal.

    Raises:
        MarqueeError: a stage failed; its own line stands above.
    """
    own = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', '')}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would make every stage compile its imports anew
    done = subprocess.run([str(own / "dvc"), *arguments], env=environment, check=False)
    if done.returncode != 0:
        raise MarqueeError(f"`dvc {' '.join(arguments)}` stopped, for the reason above")
