"""Register the exported model as a version in the model registry, unless it is registered already."""

import json

from experiments.config import Params
from experiments.tracking.model_registry import register_version
from experiments.tracking.runs import ExperimentTracker
from marquee.files.atomic_write import write_json
from marquee.model.fitted_model import FittedModel, load_model
from pipelines.support.console import create_console
from pipelines.support.fetched_source import read_data_version
from pipelines.support.last_search_run import find_or_restore_search_run
from pipelines.support.paths import FITTED_MODEL, REGISTERED_MODEL
from pipelines.support.provenance import digest_search_results, get_git_commit
from pipelines.support.stage_runner import run_stage


def register_challenger(params: Params) -> None:
    """Write models/registered.json: name and digest, without the version number, which differs by clone."""
    model = load_model(FITTED_MODEL)
    search_run = find_or_restore_search_run(ExperimentTracker(params.search.experiment))
    name = params.registration.model
    version, is_new = register_version(name, FITTED_MODEL, model.digest, search_run, _build_tags(model))
    write_json(REGISTERED_MODEL, {"model": name, "digest": model.digest})
    state = "is new" if is_new else "already exists with the same content"
    aliases = ", ".join(sorted(version.aliases))
    create_console().print(f"{name} version {version.version} {state}; aliases: {aliases}")


def _build_tags(model: FittedModel) -> dict[str, str]:
    """Return the tags of a version: its origin, and everything needed to train it again."""
    manifest, data = model.manifest, read_data_version()
    metrics = {name: f"{value:.6f}" for name, value in manifest.metrics.items()}
    return {
        "algorithm": manifest.algorithm,
        "parameters": json.dumps(dict(manifest.parameters), sort_keys=True),
        "seed": str(manifest.seed),
        "data_source": data.source,
        "data_digest": data.digest,
        "search_results_digest": digest_search_results(),
        "git_commit": get_git_commit() or "none",
        **metrics,
    }


if __name__ == "__main__":
    run_stage(register_challenger, "register")
