"""Make the exported model a version of the registered model, once for each content."""

import json

from experiments.config.offline import Params
from experiments.tracking.registry import register as register_version
from experiments.tracking.runs import Tracker
from marquee.files.atomic_write import write_json
from marquee.model.fitted_model import FittedModel, load_model
from pipelines.support.console import screen
from pipelines.support.paths import FITTED, REGISTERED
from pipelines.support.provenance import data_version, git_commit, search_key
from pipelines.support.stage_runner import run
from pipelines.support.tracked_searches import search_run


def register(params: Params) -> None:
    """Write models/registered.json: name and digest. The version's number differs between clones."""
    model = load_model(FITTED)
    parent = search_run(Tracker(params.search.experiment))
    name = params.register_.model
    version, new = register_version(name, FITTED, model.digest, parent, _tags(model))
    write_json(REGISTERED, {"model": name, "digest": model.digest})
    made = "is new" if new else "was there already, with the same content"
    aliases = ", ".join(sorted(version.aliases))
    screen().print(f"{name} version {version.version} {made}; aliases: {aliases}")


def _tags(model: FittedModel) -> dict[str, str]:
    """Data, code and search of a version, and the recipe to make it again."""
    manifest, data = model.manifest, data_version()
    metrics = {name: f"{value:.6f}" for name, value in manifest.metrics.items()}
    return {
        "algorithm": manifest.algorithm,
        "parameters": json.dumps(dict(manifest.parameters), sort_keys=True),
        "seed": str(manifest.seed),
        "data_source": data.source,
        "data_digest": data.digest,
        "search_key": search_key(),
        "git_commit": git_commit() or "none",
        **metrics,
    }


if __name__ == "__main__":
    run(register, "register")
