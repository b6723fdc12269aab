"""Build the Bento: the service's code, its locked requirements and the model, in one folder with a tag.

The tag is a digest of everything in it, so building twice builds once, and two clones that share
a Bento store never overwrite each other's.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bentoml
import yaml

from experiments.config import Params
from experiments.registry import ModelVersion, find_version
from marquee.errors import MarqueeError, TrackingError
from marquee.manifest import read_manifest, sha256_of
from marquee.model import load_model
from pipelines.paths import BENTO, FITTED, PACKAGED
from pipelines.provenance import git_commit
from pipelines.screen import screen
from pipelines.stage import read_json, run, write_json

MODULES = (
    "__init__", "arrays", "errors", "events", "factors", "ids", "manifest", "model", "model_arrays",
    "strings", "tastes", "topn",
)  # fmt: skip
CODE = (*(f"marquee/{module}.py" for module in MODULES), "service")
REQUIREMENTS = Path("requirements/service.txt")
PROVENANCE = "provenance.json"


def package(params: Params) -> None:
    """Build the Bento of the registered model; write models/bento.json, and the tag for this clone."""
    model = load_model(FITTED)
    version = find_version(params.register_.model, model.digest)
    if version is None:
        raise TrackingError(
            f"models/fitted is no version of '{params.register_.model}' in this registry: "
            "run `dvc repro --force --single-item register`"
        )
    provenance = _provenance(version, model.digest)
    code = _code_digest()
    tag = f"{params.package.bento}:{_digest(model.digest, code, json.dumps(provenance, sort_keys=True))[:12]}"
    if not bento_exists(tag):
        _build(tag, provenance)
    write_json(BENTO, {"bento": params.package.bento, "model_digest": model.digest, "code_digest": code})
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


def bento_exists(tag: str) -> bool:
    """Whether this machine's Bento store has it."""
    try:
        bentoml.get(tag)
    except bentoml.exceptions.NotFound:
        return False
    return True


def _provenance(version: ModelVersion, model_digest: str) -> dict[str, Any]:
    """What differs between clones, and so is in no manifest: version, run, commit.

    The digest is there for the service to check the manifest by, which checks all other files.
    """
    return {
        "model_digest": model_digest,
        "name": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "git_commit": git_commit(),
        "search_key": version.tags.get("search_key"),
    }


def _code_digest() -> str:
    """Digest of all that the Bento holds besides the model."""
    parts = [f"{path}={sha256_of(path)}" for path in (*_code_files(), REQUIREMENTS)]
    return _digest(*parts)


def _code_files() -> list[Path]:
    found = [Path(name) for name in CODE]
    files = [file for path in found for file in (path.rglob("*") if path.is_dir() else [path])]
    return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _build(tag: str, provenance: dict[str, Any]) -> None:
    """Lay the Bento out in a temporary folder and have BentoML build it there.

    In a process of its own: BentoML imports the service from that folder, and this process has
    imported its own already.
    """
    name, version = tag.split(":")
    with tempfile.TemporaryDirectory(prefix="marquee-bento-") as folder:
        root = Path(folder)
        _lay_out(root, provenance)
        options = ["--name", name, "--version", version, "--output", "tag"]
        command = [sys.executable, "-m", "bentoml", "build", *options]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise MarqueeError(f"`bentoml build` failed for {tag}: {lines[-1]}")


def _lay_out(root: Path, provenance: dict[str, Any]) -> None:
    for file in (*_code_files(), REQUIREMENTS):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, root / file)
    shutil.copytree(FITTED, root / "model")
    write_json(root / "model" / PROVENANCE, provenance)
    # The requirements are locked with hashes already: BentoML need not resolve them again.
    bentofile = {
        "service": "service.app:Marquee",
        "include": ["**"],
        "python": {"requirements_txt": str(REQUIREMENTS), "lock_packages": False},
        "labels": {"model": provenance["name"], "version": str(provenance["version"])},
    }
    (root / "bentofile.yaml").write_text(yaml.safe_dump(bentofile), encoding="utf-8")


if __name__ == "__main__":
    run(package, "package")
