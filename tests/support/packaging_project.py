"""Small project for tests of packaging, serving and containers; only the model registry is a stand-in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from marquee.model.fitted_model import write_model
from tests.support.commands import run_command
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.model_builder import build_small_model_arrays

ROOT = Path(__file__).parents[2]
# Runs the package stage. Its stand-in registry returns the given version for any model; 0: no version.
RUN_PACKAGE_STAGE = """
import sys
from experiments.tracking.model_registry import ModelVersion
from pipelines.stages import package
from pipelines.support.stage_runner import run_stage
number = int(sys.argv[1])
version = ModelVersion("marquee", number, "0f0f", ("challenger",), {"search_results_digest": "c0ffee"})
package.find_version = lambda name, digest: version if number else None
run_stage(package.package, "package")
"""


def write_small_model(folder: Path) -> None:
    """Write a model with two users; Ann rated i0, and her recommendations are i2 and i1."""
    arrays = build_small_model_arrays(
        {"ann": ([0], [2, 1]), "bob": ([1], [0, 2])},
        ["i0", "i1", "i2"],
        titles=["Alien", "Amélie", "七人の侍"],
    )
    write_model(folder, arrays, MANIFEST_FIELDS)


def copy_sources(folder: Path) -> None:
    """Copy the source files that packaging reads."""
    for name in ("marquee", "service", "requirements", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


class PackagingProject:
    """Copy of the files that packaging reads, with its own Bento store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        copy_sources(folder)
        shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
        write_small_model(folder / "models" / "fitted_model")
        settings = {
            "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": str(folder / "bentoml"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "BENTOML_DO_NOT_TRACK": "true",
        }
        self.environment = {**os.environ, **settings}
        self.environment.pop("MARQUEE_MODEL", None)

    def package(self, version: int = 3) -> subprocess.CompletedProcess[str]:
        """Run the package stage for a registered version, or for an unregistered model (0)."""
        return self._run("-c", RUN_PACKAGE_STAGE, str(version))

    def marquee(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `marquee ...` in this project."""
        return self._run("-m", "pipelines.cli", *arguments)

    def serve(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.marquee("serve", *arguments)

    def read_json(self, name: str) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads((self.folder / name).read_text())
        return tree

    def bento_build_times(self) -> dict[str, int]:
        """Return the build time of each Bento in the store, by Bento version."""
        files = (self.folder / "bentoml" / "bentos" / "marquee").glob("*/bento.yaml")
        return {path.parent.name: path.stat().st_mtime_ns for path in files}

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command([sys.executable, *arguments], self.folder, self.environment)
