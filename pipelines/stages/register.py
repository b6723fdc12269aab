"""Register the exported models as versions in the model registry, unless they are registered already."""

from pathlib import Path
from typing import Any

from experiments.config import Params
from experiments.tracking.model_registry import Registration, recipe_tags, register_best, register_version
from experiments.tracking.runs import ExperimentTracker
from marquee.files.atomic_write import write_json
from marquee.model.fitted_model import FittedModel, load_model
from marquee.model.manifest import MANIFEST_NAME
from pipelines.support.console import create_console
from pipelines.support.fetched_source import read_data_version
from pipelines.support.last_search_run import find_or_restore_search_run
from pipelines.support.paths import FITTED_MODEL, REGISTERED_MODEL, SVD_MODEL
from pipelines.support.provenance import digest_search_results, get_git_commit
from pipelines.support.stage_runner import run_stage


def register_challenger(params: Params) -> None:
    """Register both models; write models/registered.json: names and digests, without the version numbers.

    Version numbers differ by clone.
    """
    search_run = find_or_restore_search_run(ExperimentTracker(params.search.experiment))
    names, model = params.registration, load_model(FITTED_MODEL)
    _print_registration(
        register_version(names.model, FITTED_MODEL, model.digest, search_run, _build_tags(model))
    )
    record: dict[str, Any] = {"model": names.model, "digest": model.digest, "svd": None}
    if _has_model(SVD_MODEL):
        svd = load_model(SVD_MODEL)
        _print_registration(
            register_best(names.svd_model, SVD_MODEL, svd.digest, search_run, _build_tags(svd))
        )
        record["svd"] = {"model": names.svd_model, "digest": svd.digest}
    write_json(REGISTERED_MODEL, record)


def _has_model(folder: Path) -> bool:
    return (folder / MANIFEST_NAME).exists()


def _print_registration(registration: Registration) -> None:
    version, is_new = registration
    state = "is new" if is_new else "already exists with the same content"
    aliases = ", ".join(sorted(version.aliases))
    create_console().print(f"{version.name} version {version.version} {state}; aliases: {aliases}")


def _build_tags(model: FittedModel) -> dict[str, str]:
    """Return the tags of a version: its origin, and everything needed to train it again."""
    manifest, data = model.manifest, read_data_version()
    recipes = {"recommender": manifest.recommender, "predictor": manifest.predictor}
    metrics = {name: f"{value:.6f}" for name, value in manifest.metrics.items()}
    tags = {
        "feedback": manifest.feedback,
        "data_source": data.source,
        "data_digest": data.digest,
        "search_results_digest": digest_search_results(),
        "git_commit": get_git_commit() or "none",
        "metrics_note": manifest.metrics_note,
        **metrics,
    }
    for role, recipe in recipes.items():
        if recipe is not None:
            tags |= recipe_tags(role, recipe)
    return tags


if __name__ == "__main__":
    run_stage(register_challenger, "register")
