"""Provenance of runs and models: data version, code version, search results."""

import subprocess
from functools import lru_cache

from experiments.tracking.data_version import DataVersion
from marquee.array_types import RatingScale
from marquee.files.digest import sha256_of
from pipelines.support.json_files import missing_output_error, read_json
from pipelines.support.paths import SEARCH, SOURCE


def read_data_version() -> DataVersion:
    """Return the data source and the digest of its raw files, which equals the digest in dvc.lock."""
    source = read_json(SOURCE)
    return DataVersion(source["source"], source["digest"], "data/raw")


def read_rating_scale() -> RatingScale:
    """Return the lowest and highest possible rating of the data source."""
    low, high = read_json(SOURCE)["scale"]
    return float(low), float(high)


def digest_search_results() -> str:
    """Return the digest of the search results; clones that ran the same search have the same digest.

    Raises:
        MarqueeError: no search has finished in this clone.
    """
    if not SEARCH.exists():
        raise missing_output_error(SEARCH)
    return sha256_of(SEARCH)[:16]


@lru_cache(maxsize=1)
def get_git_commit() -> str | None:
    """Return the checked-out commit, with `-dirty` appended if tracked files were modified; None outside git.

    dvc.lock is ignored, because DVC writes it while the pipeline runs.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock")
    return f"{head}-dirty" if changed else head


def get_code_tags() -> dict[str, str]:
    """Return the tags with which MLflow identifies source code; empty outside git."""
    commit = get_git_commit()
    return {"mlflow.source.git.commit": commit, "mlflow.source.name": "dvc repro"} if commit else {}


def _git(*arguments: str) -> str | None:
    process = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return process.stdout.strip() if process.returncode == 0 else None
