"""Clones of this project in temporary folders, as new users would have them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], object]
SMALL = {"n_ratings": 2000, "n_users": 60, "n_items": 90, "step": 1.0}


class Clone:
    """A checkout with its own home, stores and remote: nothing in it is shared with this machine's user."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.output = ""  # what the run that made it printed
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "BENTOML_", "PYTHON"))
        }
        self.environment = {
            **kept,
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
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, *arguments, check=check)

    def marquee(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "pipelines.cli", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("dvc", *arguments, check=check)

    def change(self, change: Change) -> None:
        path = self.folder / "params.yaml"
        tree = yaml.safe_load(path.read_text())
        change(tree)
        path.write_text(yaml.safe_dump(tree))

    def lock(self) -> str:
        return (self.folder / "dvc.lock").read_text()


def make_clone(folder: Path, home: Path) -> Clone:
    """Copy what git tracks (and would track), make it a repository, and shrink its work."""
    folder.mkdir(parents=True)
    home.mkdir(exist_ok=True)
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    bring_compiled(folder)
    clone = Clone(folder, home)
    clone.change(shrink)
    clone.run("git", "init", "-q")
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "start")
    return clone


def bring_compiled(folder: Path) -> None:
    """Copy the compiled kernels too, which `make` has made: they are valid for sources of the same time."""
    for cache in (ROOT / "marquee").rglob("__pycache__"):
        shutil.copytree(cache, folder / cache.relative_to(ROOT), dirs_exist_ok=True)


def shrink(tree: dict[str, Any]) -> None:
    tree["data"]["demo"] = SMALL
    tree["search"]["candidates"] = {"svd": {"n_factors": [4, 8]}, "baseline_only": {}, "slope_one": {}}
    tree["export"]["top_n"] = 10


def copy_of(clone: Clone, folder: Path) -> Clone:
    """The same clone, stores and all, at another place."""
    shutil.copytree(clone.folder, folder, symlinks=True)
    return Clone(folder, folder.parent / "home")


def ran(output: str) -> list[str]:
    """Stages that a `dvc repro` executed."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
