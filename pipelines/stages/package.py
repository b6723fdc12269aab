"""Build the Bento of the registered model."""

from experiments.config import Params
from experiments.tracking.model_registry import find_version
from marquee.errors import TrackingError
from marquee.files.atomic_write import write_json
from marquee.model.fitted_model import load_model
from pipelines.support.bento import BentoSpec, digest_code, ensure_bento
from pipelines.support.console import create_console
from pipelines.support.paths import BENTO, FITTED_MODEL, LAST_BENTO
from pipelines.support.provenance import get_git_commit
from pipelines.support.stage_runner import run_stage


def package(params: Params) -> None:
    """Write models/bento.json and, in a file that is not a stage output, the Bento's tag and version."""
    model = load_model(FITTED_MODEL)
    version = find_version(params.registration.model, model.digest)
    if version is None:
        raise TrackingError(
            f"{FITTED_MODEL} is not registered as a version of '{params.registration.model}'; "
            "run `dvc repro --force --single-item register`"
        )
    bento = params.package.bento
    tag = ensure_bento(BentoSpec(bento, model.digest, version, get_git_commit()), FITTED_MODEL)
    write_json(BENTO, {"bento": bento, "model_digest": model.digest, "code_digest": digest_code()})
    write_json(
        LAST_BENTO,
        {
            "tag": tag,
            "model_digest": model.digest,
            "version": version.version,
            "run_id": version.run_id,
            "user": model.arrays.users[0],  # for the example requests of `marquee serve`
        },
    )
    create_console().print(f"Bento {tag}")


if __name__ == "__main__":
    run_stage(package, "package")
