"""What every run and model says about its origin: data, code, search."""

import subprocess
from functools import lru_cache

from experiments.tracking.data_version import DataVersion
from marquee.arrays import Scale
from marquee.files.digest import sha256_of
from pipelines.support.paths import SEARCH, SOURCE
from pipelines.support.stage_runner import read_json


def data_version() -> DataVersion:
    """The source, with the digest that dvc.lock has of its raw files."""
    source = read_json(SOURCE)
    return DataVersion(source["source"], source["digest"], "data/raw")


def rating_scale() -> Scale:
    """Lowest and highest rating of the source."""
    low, high = read_json(SOURCE)["scale"]
    return float(low), float(high)


def search_key() -> str:
    """Digest of the search's results: the same in every clone that ran the same search."""
    read_json(SEARCH)
    return sha256_of(SEARCH)[:16]


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit checked out, with `-dirty` where tracked files differ from it; None outside git.

    dvc.lock does not count: DVC writes it while the pipeline runs.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock")
    return f"{head}-dirty" if changed else head


def code_tags() -> dict[str, str]:
    """MLflow's tag for the commit, where there is one."""
    commit = git_commit()
    return {"mlflow.source.git.commit": commit, "mlflow.source.name": "dvc repro"} if commit else {}


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
