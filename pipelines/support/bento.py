"""Making Bentos: the service's code, its locked requirements and a model, in one folder with a tag.

The tag is a digest of everything in it, so building twice builds once, and two clones that share
a Bento store never overwrite each other's.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import bentoml
import yaml

from experiments.source_code import import_closure, matching_files
from experiments.tracking.registry import ModelVersion
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from pipelines.support.programs import run_program

# What a Bento holds: whole packages, never a list of modules. Both are patterns of `matching_files`.
CODE = ("marquee/*.py", "marquee/files", "marquee/model", "marquee/rollout", "service")
# They run beside replicas, not inside.
LEFT_OUT = ("service/gateway", "service/stack", "service/recommendation/shadow_replay.py")
REQUIREMENTS = Path("requirements/service.txt")
PROVENANCE = "provenance.json"


def make_bento(bento: str, model: Path, digest: str, version: ModelVersion, commit: str | None) -> str:
    """The tag of the Bento that carries a version's model; built, unless it is there already.

    Args:
        bento: what Bentos are called.
        model: the model's folder.
        digest: of the model, for the service to check the manifest by, which checks all other files.
        version: of the registered model that it is.
        commit: of the code, where it is known.

    Raises:
        MarqueeError: `bentoml build` failed, with its last line.
    """
    tag = bento_tag(bento, digest, version, commit)
    if not bento_exists(tag):
        _build(tag, model, _provenance(digest, version, commit))
    return tag


def bento_tag(bento: str, digest: str, version: ModelVersion, commit: str | None) -> str:
    """What `make_bento` would make, without the model at hand."""
    told = json.dumps(_provenance(digest, version, commit), sort_keys=True)
    return f"{bento}:{_digest(digest, code_digest(), told)[:12]}"


def _provenance(digest: str, version: ModelVersion, commit: str | None) -> dict[str, Any]:
    """What differs between clones, and so is in no manifest: version, run, commit."""
    return {
        "model_digest": digest,
        "name": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "git_commit": commit,
        "search_key": version.tags.get("search_key"),
    }


def bento_exists(tag: str) -> bool:
    """Whether this machine's Bento store has it."""
    try:
        bentoml.get(tag)
    except bentoml.exceptions.NotFound:
        return False
    return True


def bento_folder(tag: str) -> Path:
    """Where a Bento lies in this machine's store."""
    return Path(bentoml.get(tag).path)


def code_digest() -> str:
    """Digest of all that a Bento holds besides the model."""
    parts = [f"{path}={sha256_of(path)}" for path in (*code_files(), REQUIREMENTS)]
    return _digest(*parts)


def code_files() -> list[Path]:
    """Return the source files of a Bento, relative to the project's folder, which is the working folder.

    Raises:
        MarqueeError: a pattern of `CODE` or `LEFT_OUT` matches no file.
    """
    return sorted(matching_files(Path(), CODE) - matching_files(Path(), LEFT_OUT))


def check_imports(files: Collection[Path]) -> None:
    """Check that the files of a Bento find all that they import among themselves.

    Raises:
        MarqueeError: they do not; such a Bento would fail only where it runs.
    """
    missing = import_closure(Path(), files) - set(files)
    if missing:
        names = ", ".join(sorted(map(str, missing)))
        raise MarqueeError(
            f"a Bento would lack {names}, which its code imports; see CODE in pipelines/support/bento.py"
        )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _build(tag: str, model: Path, provenance: Mapping[str, Any]) -> None:
    """Lay the Bento out in a temporary folder and have BentoML build it there.

    In a process of its own: BentoML imports the service from that folder, and this process has
    imported its own already.
    """
    name, version = tag.split(":")
    with tempfile.TemporaryDirectory(prefix="marquee-bento-") as folder:
        root = Path(folder)
        _lay_out(root, model, provenance)
        options = ["--name", name, "--version", version, "--output", "tag"]
        command = [sys.executable, "-m", "bentoml", "build", *options]
        environment = {**os.environ, "PYTHONPATH": folder}
        run_program(command, f"`bentoml build` failed for {tag}", folder=root, environment=environment)


def _lay_out(root: Path, model: Path, provenance: Mapping[str, Any]) -> None:
    files = code_files()
    check_imports(files)
    for file in (*files, REQUIREMENTS):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, root / file)
    shutil.copytree(model, root / "model")
    write_json(root / "model" / PROVENANCE, provenance)
    # The requirements are locked with hashes already: BentoML need not resolve them again.
    bentofile = {
        "service": "service.app:Marquee",
        "include": ["**"],
        "python": {"requirements_txt": str(REQUIREMENTS), "lock_packages": False},
        "labels": {"model": provenance["name"], "version": str(provenance["version"])},
    }
    (root / "bentofile.yaml").write_text(yaml.safe_dump(bentofile), encoding="utf-8")
