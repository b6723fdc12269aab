"""A small project in which packaging, serving and containers are tested: all of it real but the registry."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from marquee.model.fitted_model import write_model
from tests.support.models import small_arrays
from tests.support.openapi_checks import DESCRIPTION

ROOT = Path(__file__).parents[2]
# The stage, in a project whose registry has one version of anything: the registry has its own tests.
PACKAGE = """
import sys
from experiments.tracking.registry import ModelVersion
from pipelines.stages import package
from pipelines.support import stage_runner as stage
version = int(sys.argv[1])
found = ModelVersion("marquee", version, "0f0f", ("challenger",), {"search_key": "c0ffee"})
package.find_version = lambda name, digest: found if version else None
stage.run(package.package, "package")
"""


def write_small_model(folder: Path) -> None:
    """Ann rated i0 and is recommended i2, then i1."""
    arrays = small_arrays(
        {"ann": ([0], [2, 1]), "bob": ([1], [0, 2])},
        ["i0", "i1", "i2"],
        titles=["Alien", "Amélie", "七人の侍"],
    )
    write_model(folder, arrays, DESCRIPTION)


class Project:
    """A copy of what packaging reads, with a Bento store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("marquee", "service", "requirements", "deploy"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
        write_small_model(folder / "models" / "fitted")
        settings = {
            "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": str(folder / "bentoml"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "BENTOML_DO_NOT_TRACK": "true",
        }
        self.environment = {**os.environ, **settings}
        self.environment.pop("MARQUEE_MODEL", None)

    def package(self, version: int = 3) -> subprocess.CompletedProcess[str]:
        return self._run("-c", PACKAGE, str(version))

    def marquee(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`marquee ...` in this project."""
        return self._run("-m", "pipelines.cli", *arguments)

    def serve(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.marquee("serve", *arguments)

    def read(self, name: str) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads((self.folder / name).read_text())
        return tree

    def bentos(self) -> dict[str, int]:
        """Each Bento's version and when it was made."""
        made = (self.folder / "bentoml" / "bentos" / "marquee").glob("*/bento.yaml")
        return {path.parent.name: path.stat().st_mtime_ns for path in made}

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
