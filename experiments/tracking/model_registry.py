"""The MLflow model registry: versions found by content, and the aliases that point at them.

`challenger` is the newest version that the pipeline made. `champion` is what users see: the very
first version becomes it, and after that only a promotion moves it, never the pipeline.
"""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import Array

from experiments.tracking.store import store_lock, tracking_uri, translated
from marquee.errors import TrackingError
from marquee.interactions.matrix import USER
from marquee.model.manifest import MANIFEST

CHAMPION, CHALLENGER, DIGEST = "champion", "challenger", "digest"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
LOADER = Path(__file__).with_name("pyfunc_model.py")


@dataclass(frozen=True)
class ModelVersion:
    """One version of the registered model."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def algorithm(self) -> str:
        """The candidate's name in the catalogue."""
        return self.tags["algorithm"]

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters it was made with."""
        parameters: dict[str, Any] = json.loads(self.tags["parameters"])
        return parameters


def find_version(name: str, digest: str) -> ModelVersion | None:
    """The version with that content, or None."""
    with translated(tracking_uri()):
        found = _client().search_model_versions(f"name = '{name}' and tags.{DIGEST} = '{digest}'")
        return _described(name, min(int(version.version) for version in found)) if found else None


def champion(name: str) -> ModelVersion | None:
    """The version that users see, or None before the first.

    Raises:
        TrackingError: the registry cannot say. That is not the same as None: the pipeline makes a
            champion where there is none.
    """
    return _aliased(name, CHAMPION)


def _aliased(name: str, alias: str) -> ModelVersion | None:
    with translated(tracking_uri()):
        try:
            version = _client().get_registered_model(name).aliases.get(alias)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return None
            raise
        return None if version is None else _described(name, version)


def challenger(name: str) -> ModelVersion | None:
    """The version that the pipeline made last, or None."""
    return _aliased(name, CHALLENGER)


def version_of(name: str, number: int) -> ModelVersion:
    """A version by its number.

    Raises:
        TrackingError: there is no such version.
    """
    with translated(tracking_uri()):
        return _described(name, number)


def crown(name: str, number: int) -> None:
    """Make a version champion; it may be so already."""
    uri = tracking_uri()
    with store_lock(uri), translated(uri):
        _client().set_registered_model_alias(name, CHAMPION, str(number))


def fetch_model(name: str, number: int, to: Path) -> Path:
    """The folder of a version's fitted model, copied below `to`.

    Raises:
        TrackingError: it cannot be read from the registry's store.
    """
    with translated(tracking_uri()):
        mlflow.set_tracking_uri(tracking_uri())
        copied = mlflow.artifacts.download_artifacts(
            artifact_uri=f"models:/{name}/{number}", dst_path=str(to)
        )
    found = sorted(Path(copied).rglob(MANIFEST))
    if not found:
        raise TrackingError(f"version {number} of '{name}' holds no fitted model")
    return found[0].parent


def register(
    name: str, folder: Path, digest: str, run_id: str, tags: Mapping[str, str]
) -> tuple[ModelVersion, bool]:
    """Make a version of a fitted model's folder, unless there is one with the same content.

    Returns the version and whether it is new. Either way it is now the challenger. The very first
    becomes champion; where a later one finds none, somebody took the alias away, and keeps it so.

    Raises:
        TrackingError: the registry refused, or what was logged cannot be read back.
    """
    uri = tracking_uri()
    with store_lock(uri), translated(uri):
        found = find_version(name, digest)
        version = found or _create(name, folder, run_id, {**tags, DIGEST: digest})
        _client().set_registered_model_alias(name, CHALLENGER, str(version.version))
        if version.version == 1 and champion(name) is None:
            _client().set_registered_model_alias(name, CHAMPION, str(version.version))
        return _described(name, version.version), found is None


def _create(name: str, folder: Path, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
    """Log the folder with the run, load it back, and only then register it."""
    mlflow.set_tracking_uri(tracking_uri())
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # asks for an example where a schema is given
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(LOADER),  # code, not a pickle
            artifacts={"model": str(folder)},
            code_paths=[str(LOADER.parents[2] / "marquee")],
            pip_requirements=["numpy", "pandas"],
            signature=ModelSignature(Schema([ColSpec("string", USER)]), Schema([ColSpec(Array("string"))])),
        )
    mlflow.pyfunc.load_model(logged.model_uri)
    client = _client()
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # raises anything but "it exists already"
    made = client.create_model_version(
        name, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id
    )
    return _described(name, made.version)


def _described(name: str, number: int | str) -> ModelVersion:
    """A version with its aliases, which a search of MLflow's leaves out."""
    full = _client().get_model_version(name, str(number))
    return ModelVersion(name, int(full.version), str(full.run_id), tuple(full.aliases), dict(full.tags))


def _client() -> MlflowClient:
    return MlflowClient(tracking_uri())
