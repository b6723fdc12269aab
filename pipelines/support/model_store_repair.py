"""Repair of the stores that dvc.lock does not cover: the model registry and the Bento store."""

from experiments.config import Params
from experiments.tracking.model_registry import ModelVersion, find_version
from pipelines.support.bento import bento_has_current_model
from pipelines.support.console import create_console
from pipelines.support.dvc import run_dvc
from pipelines.support.json_reader import read_json
from pipelines.support.paths import LAST_BENTO, REGISTERED_MODEL


def register_and_package_if_missing(params: Params) -> None:
    """Run the stages `register` and `package` again if the registry or the Bento store lacks the model.

    This is needed after `dvc pull` in a fresh clone, or if the tracking database was deleted.
    """
    if _find_registered_version(params) is None:
        _run_again("register", "the model registry does not have this model")
    if not _is_packaged(params):
        _run_again("package", "the Bento store does not have this model")


def _run_again(stage: str, reason: str) -> None:
    create_console().print(f"All files are up to date, but {reason}: running the stage `{stage}` again.")
    run_dvc("repro", "--force", "--single-item", stage)


def _is_packaged(params: Params) -> bool:
    """Return True if the last Bento exists and contains the current model as registered in the registry."""
    version = _find_registered_version(params)
    bento = read_json(LAST_BENTO) if LAST_BENTO.exists() else {}
    return version is not None and bento.get("run_id") == version.run_id and bento_has_current_model(bento)


def _find_registered_version(params: Params) -> ModelVersion | None:
    return find_version(params.registration.model, read_json(REGISTERED_MODEL)["digest"])
