"""The digest of a folder of raw files: DVC's own, so that a run, a model and dvc.lock show one value.

DVC hashes a folder as the MD5 of a JSON list of its files, sorted by path, with ".dir" added
(`dvc_data.hashfile.tree.Tree.as_bytes` and `.digest`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from marquee.files.digest import md5_of


@dataclass(frozen=True)
class RawFile:
    """One file of the folder."""

    name: str
    bytes: int
    md5: str


def files_of(folder: Path) -> list[RawFile]:
    """Every file below a folder, sorted by its path in it."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [RawFile(name, paths[name].stat().st_size, md5_of(paths[name])) for name in sorted(paths)]


def digest_of(files: list[RawFile]) -> str:
    """DVC's hash of a folder that holds just these files."""
    entries = sorted(({"md5": file.md5, "relpath": file.name} for file in files), key=lambda e: e["relpath"])
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode()).hexdigest() + ".dir"


def as_json(files: list[RawFile]) -> list[dict[str, str | int]]:
    """The files as source.json lists them."""
    return [asdict(file) for file in files]
