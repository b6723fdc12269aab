"""Build the Bento of the registered model, and remember for this clone which one it was."""

from collections.abc import Mapping
from typing import Any

from experiments.config.offline import Params
from experiments.tracking.registry import find_version
from marquee.errors import MarqueeError, TrackingError
from marquee.files.atomic_write import write_json
from marquee.model.fitted_model import load_model
from marquee.model.manifest import read_manifest
from pipelines.support.bento import bento_exists, code_digest, make_bento
from pipelines.support.console import screen
from pipelines.support.paths import BENTO, FITTED, PACKAGED
from pipelines.support.provenance import git_commit
from pipelines.support.stage_runner import read_json, run


def package(params: Params) -> None:
    """Build the Bento of the registered model; write models/bento.json, and the tag for this clone."""
    model = load_model(FITTED)
    version = find_version(params.register_.model, model.digest)
    if version is None:
        raise TrackingError(
            f"models/fitted is no version of '{params.register_.model}' in this registry: "
            "run `dvc repro --force --single-item register`"
        )
    tag = make_bento(params.package.bento, FITTED, model.digest, version, git_commit())
    bento = {"bento": params.package.bento, "model_digest": model.digest, "code_digest": code_digest()}
    write_json(BENTO, bento)
    first_user = model.arrays.users[0]  # somebody to try it with
    told = {"tag": tag, "model_digest": model.digest, "version": version.version, "run_id": version.run_id}
    write_json(PACKAGED, {**told, "user": first_user})
    screen().print(f"Bento {tag}")


def packaged_here() -> Mapping[str, Any]:
    """What was packaged last in this clone: its tag, version, and a user to try it with.

    Raises:
        MarqueeError: nothing was, or it is not the model that lies here now, or its Bento is gone.
    """
    if not PACKAGED.exists():
        raise MarqueeError("nothing is packaged in this clone yet: run `make repro` first")
    packaged: Mapping[str, Any] = read_json(PACKAGED)
    if not is_current(packaged):
        raise MarqueeError(
            f"{packaged['tag']} is not the model that lies here, or is gone: run `make repro` again"
        )
    return packaged


def is_current(packaged: Mapping[str, Any]) -> bool:
    """Whether what was packaged last is the model that lies here, and its Bento still there."""
    digest = read_manifest(FITTED).digest
    return packaged.get("model_digest") == digest and bento_exists(packaged["tag"])


if __name__ == "__main__":
    run(package, "package")
