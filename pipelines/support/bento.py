"""Build Bentos, and find those already built.

A Bento is a folder with the service's code, its locked requirements, a model and its provenance. The Bento's
tag contains a digest of all four: equal content is built once, and clones that share a Bento store never
overwrite each other's Bentos.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bentoml
import yaml

from experiments.config import Params
from experiments.import_closure import import_closure, matching_files
from experiments.tracking.model_registry import (
    DIGEST_TAG,
    ModelVersion,
    download_model,
)
from marquee.errors import MarqueeError, ModelError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.model.manifest import read_manifest
from pipelines.support.json_reader import read_json
from pipelines.support.paths import FITTED_MODEL, LAST_BENTO
from pipelines.support.programs import run_program
from service.stack.stack_config import Arm

# Code in a Bento, as patterns of `matching_files`: whole packages, because a list of modules would go stale.
INCLUDED_CODE = ("marquee/*.py", "marquee/files", "marquee/model", "marquee/rollout", "service")
# Parts of these packages that a replica does not use.
EXCLUDED_CODE = (
    "service/gateway",
    "service/stack",
    "service/recommendation/list_blocks.py",
    "service/recommendation/recorded_request_replay.py",
)
REQUIREMENTS = Path("requirements/service.txt")
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class BentoSpec:
    """Specification of a Bento: everything that distinguishes it from other Bentos, except the code."""

    name: str  # of the Bento, without its version
    model_digest: str
    version: ModelVersion  # the registered version with that digest
    git_commit: str | None

    def compute_tag(self) -> str:
        """Return the tag of the Bento, `name:digest`, from its content; the Bento need not exist yet."""
        provenance = json.dumps(self.provenance, sort_keys=True)
        return f"{self.name}:{_digest(self.model_digest, digest_code(), provenance)[:12]}"

    @property
    def provenance(self) -> dict[str, Any]:
        """Origin of the model. It may differ between clones, so it is not in the model's manifest."""
        return {
            "model_digest": self.model_digest,
            "name": self.version.name,
            "version": self.version.version,
            "run_id": self.version.run_id,
            "git_commit": self.git_commit,
            "search_results_digest": self.version.tags.get("search_results_digest"),
        }


def ensure_bento(spec: BentoSpec, model: Path) -> str:
    """Build a Bento unless the Bento store already has it, and return its tag.

    Args:
        spec: name and provenance of the Bento.
        model: folder of the model; its digest must be `spec.model_digest`.

    Raises:
        MarqueeError: `bentoml build` failed.
    """
    tag = spec.compute_tag()
    if not bento_exists(tag):
        _build(tag, spec.provenance, model)
    return tag


def prepare_arm(params: Params, version: ModelVersion) -> Arm:
    """Return an arm of the stack that serves a registered version; build its Bento if this machine lacks it.

    Raises:
        MarqueeError: the registry no longer has the model, the model was exported by an older version of
            Marquee, or the Bento cannot be built.
    """
    spec = BentoSpec(params.package.bento, version.tags[DIGEST_TAG], version, version.tags.get("git_commit"))
    tag = spec.compute_tag()
    if not bento_exists(tag):
        with TemporaryDirectory(prefix="marquee-model-") as folder:
            model = download_model(version.name, version.version, Path(folder))
            _check_schema(version, model)
            ensure_bento(spec, model)
    return Arm(str(get_bento_folder(tag)), version.version)


def _check_schema(version: ModelVersion, model: Path) -> None:
    """Check that a replica of this version of Marquee can load a registered model.

    Raises:
        ModelError: it cannot.
    """
    try:
        read_manifest(model)
    except ModelError as error:
        raise ModelError(
            f"version {version.version} of '{version.name}' cannot be served by this version of Marquee "
            f"({error}); run `make repro` to register a new version, and promote it"
        ) from None


def read_last_bento() -> Mapping[str, Any]:
    """Return the tag, the model version and an example user of the last Bento packaged in this clone.

    Raises:
        MarqueeError: no Bento has been packaged, the model has changed since, or the Bento was deleted.
    """
    if not LAST_BENTO.exists():
        raise MarqueeError("no Bento has been packaged in this clone; run `make repro` first")
    bento = read_json(LAST_BENTO)
    if not bento_has_current_model(bento):
        raise MarqueeError(f"{bento['tag']} was deleted or contains an older model; run `make repro` again")
    return bento


def bento_has_current_model(bento: Mapping[str, Any]) -> bool:
    """Return True if the last packaged Bento still exists and contains the current model."""
    digest = read_manifest(FITTED_MODEL).digest
    return bento.get("model_digest") == digest and bento_exists(bento["tag"])


def bento_exists(tag: str) -> bool:
    """Return True if the Bento store of this machine has a Bento with the tag."""
    try:
        bentoml.get(tag)
    except bentoml.exceptions.NotFound:
        return False
    return True


def get_bento_folder(tag: str) -> Path:
    """Return the folder of a Bento in the store of this machine."""
    return Path(bentoml.get(tag).path)


def digest_code() -> str:
    """Return the digest of the code and requirements in a Bento."""
    return _digest(*(f"{path}={sha256_of(path)}" for path in (*list_code_files(), REQUIREMENTS)))


def list_code_files() -> list[Path]:
    """Return the source files to copy into a Bento. The working directory must be the project's folder.

    Raises:
        MarqueeError: a pattern of `INCLUDED_CODE` or `EXCLUDED_CODE` matches no file.
    """
    return sorted(matching_files(Path(), INCLUDED_CODE) - matching_files(Path(), EXCLUDED_CODE))


def check_import_closure(files: Collection[Path]) -> None:
    """Check that the code of a Bento imports no module of the project that the Bento lacks.

    Raises:
        MarqueeError: the code imports a missing module, so it would fail after deployment.
    """
    missing = import_closure(Path(), files) - set(files)
    if missing:
        names = ", ".join(sorted(map(str, missing)))
        raise MarqueeError(
            f"the Bento would lack {names}, which its code imports; "
            "see INCLUDED_CODE in pipelines/support/bento.py"
        )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _build(tag: str, provenance: Mapping[str, Any], model: Path) -> None:
    """Build a Bento from a temporary folder.

    `bentoml build` imports the service from that folder. It runs in a separate process, because this process
    may already have imported the service of the project.
    """
    name, version = tag.split(":")
    with TemporaryDirectory(prefix="marquee-bento-") as folder:
        root = Path(folder)
        _copy_content(root, model, provenance)
        options = ["--name", name, "--version", version, "--output", "tag"]
        command = [sys.executable, "-m", "bentoml", "build", *options]
        environment = {**os.environ, "PYTHONPATH": folder}
        run_program(command, f"`bentoml build` failed for {tag}", folder=root, environment=environment)


def _copy_content(root: Path, model: Path, provenance: Mapping[str, Any]) -> None:
    files = list_code_files()
    check_import_closure(files)
    for file in (*files, REQUIREMENTS):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, root / file)
    shutil.copytree(model, root / "model")
    write_json(root / "model" / PROVENANCE, provenance)
    bentofile = {
        "service": "service.app:Marquee",
        "include": ["**"],
        # The requirements are already locked with hashes; BentoML would resolve them again.
        "python": {"requirements_txt": str(REQUIREMENTS), "lock_packages": False},
        "labels": {"model": provenance["name"], "version": str(provenance["version"])},
    }
    (root / "bentofile.yaml").write_text(yaml.safe_dump(bentofile), encoding="utf-8")
