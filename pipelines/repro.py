"""The whole pipeline for a person: run what changed, mend what this clone lacks, show what came out."""

import os
import subprocess
import sys
import time
from pathlib import Path

from experiments.config import Params
from experiments.registry import find_version
from experiments.search.space import check_candidates
from marquee.errors import MarqueeError, SourceError
from pipelines.package import is_current
from pipelines.paths import PACKAGED, REGISTERED
from pipelines.screen import screen
from pipelines.stage import read_json
from pipelines.summary import print_summary


def repro(params: Params, *, force: bool = False) -> None:
    """Run the DVC graph, then check that registry and Bento store hold what it promises.

    Raises:
        MarqueeError: a stage failed; its own line stands above.
    """
    check_candidates(params.search)
    if not params.data.path.exists():
        raise SourceError(
            f"data.path: there is no {params.data.path}; correct params.yaml, or put the data there"
        )
    started = time.time()
    _dvc("repro", *(["--force"] if force else []))
    _mend(params)
    print_summary(params, started)


def _mend(params: Params) -> None:
    """Register and package again where dvc.lock is up to date but this machine's stores are not.

    That is so after `dvc pull` in a fresh clone, or where the tracking database was removed.
    """
    for stage, missing in (("register", _unregistered), ("package", _unpackaged)):
        if missing(params):
            screen().print(f"The files are up to date, but not the {stage} stage's store: running it again.")
            _dvc("repro", "--force", "--single-item", stage)


def _unregistered(params: Params) -> bool:
    return find_version(params.register_.model, read_json(REGISTERED)["digest"]) is None


def _unpackaged(params: Params) -> bool:
    """Whether the last Bento is another model's, or names a version that is no more."""
    version = find_version(params.register_.model, read_json(REGISTERED)["digest"])
    packaged = read_json(PACKAGED) if PACKAGED.exists() else {}
    return version is None or packaged.get("run_id") != version.run_id or not is_current(packaged)


def _dvc(*arguments: str) -> None:
    """Run DVC in this environment, its output and that of the stages straight to the terminal."""
    own = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', '')}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would make every stage compile its imports anew
    done = subprocess.run([str(own / "dvc"), *arguments], env=environment, check=False)
    if done.returncode != 0:
        raise MarqueeError(f"`dvc {' '.join(arguments)}` stopped, for the reason above")
