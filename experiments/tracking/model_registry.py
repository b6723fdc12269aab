"""Versions of registered models in the MLflow registry, and the aliases that point to them.

marquee        models to serve. The alias `challenger` points to the newest version. The alias `champion`
               points to the version in production: the first version gets it; after that, only a
               promotion moves it, never the pipeline.
marquee-svd    the best SVD of each search, which predicts ratings. The alias `best` points to that of
               the last pipeline run.
"""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import Array

from experiments.tracking.store_access import convert_mlflow_errors, store_lock, tracking_uri
from marquee.errors import TrackingError
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.model.manifest import MANIFEST_NAME
from marquee.model.recipe import Recipe

CHAMPION, CHALLENGER, BEST = "champion", "challenger", "best"
DIGEST_TAG = "digest"
MARQUEE_CODE = Path(__file__).parents[2] / "marquee"

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@dataclass(frozen=True)
class ModelVersion:
    """One version of the registered model."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """Recipe of the recommender and, if there is one, of the predictor.

        A version that was registered before recommender and predictor were chosen separately has one recipe
        for both.
        """
        roles = [role for role in ("recommender", "predictor") if role in self.tags]
        if not roles:
            return dict.fromkeys(("recommender", "predictor"), _parse_recipe(self.tags, "algorithm", ""))
        return {role: _parse_recipe(self.tags, role, f"{role}_") for role in roles}


class Registration(NamedTuple):
    """Result of a registration."""

    version: ModelVersion
    is_new: bool  # False: a version with the same content existed already


def find_version(name: str, digest: str) -> ModelVersion | None:
    """Return the first version with this content, or None.

    Raises:
        TrackingError: the registry cannot be read.
    """
    with convert_mlflow_errors(tracking_uri()):
        query = f"name = '{name}' and tags.{DIGEST_TAG} = '{digest}'"
        numbers = [int(version.version) for version in _client().search_model_versions(query)]
        return _read_version(name, min(numbers)) if numbers else None


def get_version(name: str, number: int) -> ModelVersion:
    """Return a version by its number.

    Raises:
        TrackingError: there is no such version, or the registry cannot be read.
    """
    with convert_mlflow_errors(tracking_uri()):
        return _read_version(name, number)


def find_champion(name: str) -> ModelVersion | None:
    """Return the version in production, or None if there is none.

    Raises:
        TrackingError: the registry cannot be read. That must not count as having no champion, or else the
            pipeline would appoint one.
    """
    return _find_version_by_alias(name, CHAMPION)


def find_challenger(name: str) -> ModelVersion | None:
    """Return the newest version, or None if there is none.

    Raises:
        TrackingError: the registry cannot be read.
    """
    return _find_version_by_alias(name, CHALLENGER)


def promote_to_champion(name: str, number: int) -> None:
    """Point the alias `champion` to a version; nothing changes if it already does.

    Raises:
        TrackingError: there is no such version, or the registry cannot be written.
    """
    uri = tracking_uri()
    with store_lock(uri), convert_mlflow_errors(uri):
        _client().set_registered_model_alias(name, CHAMPION, str(number))


def download_model(name: str, number: int, to: Path) -> Path:
    """Download the fitted model of a version into a folder, and return the subfolder that contains it.

    Raises:
        TrackingError: the artifact store cannot be read, or the version has no fitted model.
    """
    with convert_mlflow_errors(tracking_uri()):
        mlflow.set_tracking_uri(tracking_uri())
        copy = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{number}", dst_path=str(to))
    manifest = min(Path(copy).rglob(MANIFEST_NAME), default=None)
    if manifest is None:
        raise TrackingError(f"version {number} of '{name}' contains no fitted model")
    return manifest.parent


def recipe_tags(role: str, recipe: Recipe) -> dict[str, str]:
    """Return the tags from which `ModelVersion.recipes` restores a recipe."""
    return {
        role: recipe.algorithm,
        f"{role}_parameters": json.dumps(dict(recipe.parameters), sort_keys=True),
        f"{role}_seed": str(recipe.seed),
    }


def _parse_recipe(tags: Mapping[str, str], key: str, prefix: str) -> Recipe:
    return Recipe(tags[key], json.loads(tags[f"{prefix}parameters"]), int(tags.get(f"{prefix}seed", 0)))


def register_version(
    name: str, folder: Path, digest: str, run_id: str, tags: Mapping[str, str]
) -> Registration:
    """Register a fitted model, unless a version has the same content, and make that version the challenger.

    Version 1 also becomes the champion, unless there is one. Later versions never do: if there is no
    champion then, the alias was removed on purpose.

    Args:
        name: the registered model.
        folder: the fitted model.
        digest: digest of the model's content.
        run_id: id of the run that a new version belongs to.
        tags: tags of a new version.

    Raises:
        TrackingError: the registry cannot be written.
        ModelError: the logged model cannot be loaded.
    """
    uri = tracking_uri()
    with store_lock(uri), convert_mlflow_errors(uri):
        registration = _find_or_create(name, _LIST_MODEL, folder, run_id, {**tags, DIGEST_TAG: digest})
        version = registration.version.version
        _client().set_registered_model_alias(name, CHALLENGER, str(version))
        if version == 1 and find_champion(name) is None:
            _client().set_registered_model_alias(name, CHAMPION, str(version))
        return Registration(_read_version(name, version), registration.is_new)


def register_best(name: str, folder: Path, digest: str, run_id: str, tags: Mapping[str, str]) -> Registration:
    """Register a model that predicts ratings, unless a version has the same content, and call it the best.

    Arguments and errors as for `register_version`. The alias `best` then points to the version.
    """
    uri = tracking_uri()
    with store_lock(uri), convert_mlflow_errors(uri):
        registration = _find_or_create(name, _RATING_MODEL, folder, run_id, {**tags, DIGEST_TAG: digest})
        version = registration.version.version
        _client().set_registered_model_alias(name, BEST, str(version))
        return Registration(_read_version(name, version), registration.is_new)


class _PyfuncSpec(NamedTuple):
    """How MLflow calls a model."""

    code: Path
    signature: ModelSignature


_LIST_MODEL = _PyfuncSpec(
    Path(__file__).with_name("pyfunc_model.py"),
    ModelSignature(Schema([ColSpec("string", USER)]), Schema([ColSpec(Array("string"))])),
)
_RATING_MODEL = _PyfuncSpec(
    Path(__file__).with_name("pyfunc_predictor.py"),
    ModelSignature(
        Schema([ColSpec("string", USER), ColSpec("string", ITEM)]), Schema([ColSpec("double", RATING)])
    ),
)


def _find_or_create(
    name: str, spec: _PyfuncSpec, folder: Path, run_id: str, tags: Mapping[str, str]
) -> Registration:
    """Return the version with the digest in `tags`, or create it."""
    existing = find_version(name, tags[DIGEST_TAG])
    version = existing or _create_version(name, spec, folder, run_id, tags)
    return Registration(version, is_new=existing is None)


def _create_version(
    name: str, spec: _PyfuncSpec, folder: Path, run_id: str, tags: Mapping[str, str]
) -> ModelVersion:
    """Log the folder as a model of the run, load it as a check, and register it."""
    mlflow.set_tracking_uri(tracking_uri())
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow asks for an input example despite the signature
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(spec.code),
            artifacts={"model": str(folder)},
            code_paths=[str(MARQUEE_CODE)],
            pip_requirements=["numpy", "pandas"],
            signature=spec.signature,
        )
    mlflow.pyfunc.load_model(model.model_uri)
    _ensure_registered_model(name)
    version = _client().create_model_version(
        name, model.model_uri, run_id, tags=dict(tags), model_id=model.model_id
    )
    return _read_version(name, version.version)


def _ensure_registered_model(name: str) -> None:
    try:
        _client().create_registered_model(name)
    except MlflowException:
        # If the model exists already, this succeeds; otherwise it raises the reason.
        _client().get_registered_model(name)


def _find_version_by_alias(name: str, alias: str) -> ModelVersion | None:
    with convert_mlflow_errors(tracking_uri()):
        try:
            number = _client().get_registered_model(name).aliases.get(alias)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return None
            raise
        return None if number is None else _read_version(name, number)


def _read_version(name: str, number: int | str) -> ModelVersion:
    """Read a version with its aliases, which MLflow's search results do not contain."""
    version = _client().get_model_version(name, str(number))
    return ModelVersion(
        name, int(version.version), str(version.run_id), tuple(version.aliases), dict(version.tags)
    )


def _client() -> MlflowClient:
    return MlflowClient(tracking_uri())
