"""Manifest of a fitted model: algorithm, training data, and a SHA-256 digest of each file."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from marquee.array_types import RatingScale
from marquee.errors import ModelError
from marquee.files.digest import sha256_of
from marquee.model.model_arrays import FACTOR_CONSTANTS

SCHEMA_VERSION = 3
MANIFEST_NAME = "manifest.json"
HASHING_THREADS = 4
MAPPINGS = ("parameters", "metrics", "counts", "libraries", "files")  # fields that are JSON objects


@dataclass(frozen=True)
class Manifest:
    """Description of a fitted model. It depends only on data, code and parameters, so it is reproducible."""

    algorithm: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    seed: int
    data_source: str
    data_digest: str
    scale: RatingScale
    global_mean: float  # mean of the training ratings, in stars
    counts: Mapping[str, int]
    libraries: Mapping[str, str]  # versions by name
    files: Mapping[str, str]  # SHA-256 by file name
    factors: Mapping[str, float] | None = None  # `FACTOR_CONSTANTS` of a factor model
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Digest of the whole model, since the manifest contains the digest of each file."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the canonical JSON text: equal manifests have equal texts."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a model folder.

    Raises:
        ModelError: the manifest is missing, invalid, or has an unsupported schema version.
    """
    path = folder / MANIFEST_NAME
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a fitted model: it has no {MANIFEST_NAME}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); export the model again") from None
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{path} has schema version {version}, expected {SCHEMA_VERSION}; export the model again"
        )
    for problem in _find_problems(tree):
        raise ModelError(f"{path} {problem}; export the model again")
    lowest, highest = tree["scale"]
    return Manifest(**(tree | {"scale": (lowest, highest)}))


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check the digests of all files in a model folder.

    Raises:
        ModelError: a file is missing, damaged or not in the manifest; the message names it.
    """
    present = {path.name for path in folder.iterdir() if path.suffix == ".npy"}
    names = sorted(present & set(manifest.files))
    with ThreadPoolExecutor(HASHING_THREADS) as pool:  # hashlib releases the GIL
        digests = dict(zip(names, pool.map(sha256_of, (folder / name for name in names)), strict=True))
    for name in sorted(present | set(manifest.files)):
        if name not in present:
            raise ModelError(f"{folder / name} is missing; copy the model again")
        if name not in manifest.files:
            raise ModelError(f"{folder / name} is not in the manifest; copy the model again")
        if digests[name] != manifest.files[name]:
            raise ModelError(f"{folder / name} is damaged: wrong SHA-256 digest; copy the model again")


def _find_problems(tree: Mapping[str, Any]) -> Iterator[str]:
    """Check the fields that loading a model relies on."""
    known = {field.name for field in fields(Manifest)}
    if different := sorted(known ^ set(tree)):
        yield f"has missing or unknown fields: {', '.join(different)}"
        return
    for name in MAPPINGS:
        if not isinstance(tree[name], dict):
            yield f"has an invalid field: {name} must be an object (got {tree[name]!r})"
    if not _is_scale(tree["scale"]):
        yield f"has an invalid field: scale must be a list of two numbers (got {tree['scale']!r})"
    if not _are_factors(tree["factors"]):
        expected = " and ".join(FACTOR_CONSTANTS)
        yield f"has an invalid field: factors must be null or have {expected} (got {tree['factors']!r})"


def _is_scale(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _are_factors(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    return set(value) == set(FACTOR_CONSTANTS) and all(map(_is_number, value.values()))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
