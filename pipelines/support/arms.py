"""A version of the registered model as something that replicas can be started with."""

from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.config.offline import Params
from experiments.tracking.registry import DIGEST, ModelVersion, challenger, champion, fetch_model, version_of
from marquee.errors import MarqueeError
from pipelines.support.bento import bento_exists, bento_folder, bento_tag, make_bento
from service.stack.stack_config import Arm


def champion_and_candidate(model: str, to: int | None) -> tuple[ModelVersion, ModelVersion]:
    """The champion, and the version that may follow it: that of the number, else the challenger.

    Raises:
        MarqueeError: there is none of either.
    """
    now = champion(model)
    candidate = challenger(model) if to is None else version_of(model, to)
    if now is None or candidate is None:
        raise MarqueeError(f"'{model}' has no champion or no challenger: run `make repro` first")
    return now, candidate


def arm_of(params: Params, version: ModelVersion) -> Arm:
    """The version's Bento, built from the registry where this machine has none.

    Raises:
        MarqueeError: the registry has no such model any more, or the Bento cannot be built.
    """
    commit = version.tags.get("git_commit")
    digest = version.tags[DIGEST]
    tag = bento_tag(params.package.bento, digest, version, commit)
    if not bento_exists(tag):
        with TemporaryDirectory(prefix="marquee-model-") as folder:
            model = fetch_model(version.name, version.version, Path(folder))
            make_bento(params.package.bento, model, digest, version, commit)
    return Arm(str(bento_folder(tag)), version.version)
