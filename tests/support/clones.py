"""Clones of this project in temporary folders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.commands import run_command
from tests.support.params import ParamsChange, write_changed_params

ROOT = Path(__file__).parents[2]
SMALL_DEMO = {"n_ratings": 2000, "n_users": 60, "n_items": 90, "step": 1.0}


class Clone:
    """Checkout with its own home folder, stores and remote, isolated from those of the machine's user.

    Attributes:
        output: standard output of the pipeline run in this clone, if there was one.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.output = ""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "DVC_", "BENTOML_", "PYTHON"))
        }
        self.environment = {
            **inherited,
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(folder.parent / f"{folder.name}-bentoml"),
            "PYTHONPATH": str(folder),
            "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
        }  # fmt: skip

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; unless `check` is False, it must succeed."""
        result = run_command(command, self.folder, self.environment)
        assert not check or result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return result

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, *arguments, check=check)

    def marquee(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "pipelines.cli", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("dvc", *arguments, check=check)

    def change_params(self, change: ParamsChange) -> None:
        path = self.folder / "params.yaml"
        write_changed_params(path, change, path)

    def read_lock(self) -> str:
        return (self.folder / "dvc.lock").read_text()


def make_clone(folder: Path, home: Path) -> Clone:
    """Copy this working tree without ignored files and dvc.lock, reduce data and search, and commit it."""
    folder.mkdir(parents=True)
    home.mkdir(exist_ok=True)
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    copy_compiled_kernels(folder)
    clone = Clone(folder, home)
    clone.change_params(reduce_data_and_search)
    clone.run("git", "init", "-q")
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "start")
    return clone


def copy_compiled_kernels(folder: Path) -> None:
    """Copy the cache of compiled kernels, which stays valid because sources keep their modification times."""
    for cache in (ROOT / "marquee").rglob("__pycache__"):
        shutil.copytree(cache, folder / cache.relative_to(ROOT), dirs_exist_ok=True)


def reduce_data_and_search(tree: dict[str, Any]) -> None:
    tree["data"]["demo"] = SMALL_DEMO
    tree["search"]["candidates"] = {"svd": {"n_factors": [4, 8]}, "baseline_only": {}, "slope_one": {}}
    tree["export"]["top_n"] = 10


def copy_clone(clone: Clone, folder: Path) -> Clone:
    """Copy a clone, including its stores."""
    shutil.copytree(clone.folder, folder, symlinks=True)
    return Clone(folder, folder.parent / "home")


def executed_stages(output: str) -> list[str]:
    """Return the names of the stages that ran, parsed from the output of `dvc repro`."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
