"""What a clone lacks although its files are up to date: a version in the registry, a Bento in the store."""

from experiments.config.offline import Params
from experiments.tracking.registry import find_version
from pipelines.stages.package import is_current
from pipelines.support.console import screen
from pipelines.support.dvc import dvc
from pipelines.support.paths import PACKAGED, REGISTERED
from pipelines.support.stage_runner import read_json


def mend(params: Params) -> None:
    """Register and package again where dvc.lock is up to date but this machine's stores are not.

    That is so after `dvc pull` in a fresh clone, or where the tracking database was removed.
    """
    for stage, missing in (("register", _unregistered), ("package", _unpackaged)):
        if missing(params):
            screen().print(f"The files are up to date, but not the {stage} stage's store: running it again.")
            dvc("repro", "--force", "--single-item", stage)


def _unregistered(params: Params) -> bool:
    return find_version(params.register_.model, read_json(REGISTERED)["digest"]) is None


def _unpackaged(params: Params) -> bool:
    """Whether the last Bento is another model's, or names a version that is no more."""
    version = find_version(params.register_.model, read_json(REGISTERED)["digest"])
    packaged = read_json(PACKAGED) if PACKAGED.exists() else {}
    return version is None or packaged.get("run_id") != version.run_id or not is_current(packaged)
