"""The manifest of a fitted model: what it is, what it was made from, and a digest of each file."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from marquee.errors import ModelError
from marquee.files.digest import sha256_of

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
READERS = 4  # files of a model hashed side by side


@dataclass(frozen=True)
class Manifest:
    """What follows from data, code and parameters, and nothing else: the same in every clone."""

    algorithm: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    seed: int
    data_source: str
    data_digest: str
    scale: tuple[float, float]
    global_mean: float  # of the training ratings, in stars
    counts: Mapping[str, int]
    libraries: Mapping[str, str]
    files: Mapping[str, str]  # name: SHA-256
    factors: Mapping[str, float] | None = None  # offset and noise of a factor model
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Digest of the whole model: the manifest names the digest of each of its files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The manifest's one spelling."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a model's folder.

    Raises:
        ModelError: it is missing, not understood, or of another schema.
    """
    path = folder / MANIFEST
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} is no fitted model: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): export the model again") from None
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{path} has schema {version}, this code reads {SCHEMA_VERSION}: export the model again"
        )
    known = {field.name for field in fields(Manifest)}
    if set(tree) != known:
        raise ModelError(f"{path} lacks or adds keys: {', '.join(sorted(set(tree) ^ known))}")
    scale = tree.pop("scale")
    factors = {"offset": 0.0, "noise": 0.0} if tree["factors"] is None else tree["factors"]
    tables = (factors, tree["parameters"], tree["metrics"], tree["counts"], tree["libraries"], tree["files"])
    if not (isinstance(scale, list) and len(scale) == 2 and all(isinstance(t, dict) for t in tables)):
        raise ModelError(f"{path} has a field of another kind: export the model again")
    return Manifest(**tree, scale=(scale[0], scale[1]))


def check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder in which a file is missing, changed or unknown, and name the file.

    Raises:
        ModelError: see above.
    """
    present = {path.name for path in folder.iterdir() if path.suffix == ".npy"}
    names = sorted(present & set(manifest.files))
    with ThreadPoolExecutor(READERS) as pool:  # hashing lets go of the interpreter
        digests = dict(zip(names, pool.map(sha256_of, (folder / name for name in names)), strict=True))
    for name in sorted(present | set(manifest.files)):
        if name not in present:
            raise ModelError(f"{folder / name} is missing: copy the model again")
        if name not in manifest.files:
            raise ModelError(f"{folder / name} is not in the manifest: copy the model again")
        if digests[name] != manifest.files[name]:
            raise ModelError(
                f"{folder / name} is damaged: its digest is not the manifest's; copy the model again"
            )
