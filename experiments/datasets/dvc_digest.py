"""Digest of a folder of raw files, equal to DVC's, so that runs, models and dvc.lock show the same value.

DVC hashes a folder as the MD5 of a JSON list of its files, sorted by path, and appends ".dir"
(`dvc_data.hashfile.tree.Tree.as_bytes` and `.digest`).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from marquee.files.digest import md5_of


@dataclass(frozen=True)
class RawFile:
    """One file of the folder."""

    name: str  # path relative to the folder, with "/"
    bytes: int
    md5: str


def list_raw_files(folder: Path) -> list[RawFile]:
    """Return every file below a folder with its size and MD5, sorted by name."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [RawFile(name, paths[name].stat().st_size, md5_of(paths[name])) for name in sorted(paths)]


def folder_digest(files: list[RawFile]) -> str:
    """Return DVC's digest of a folder that contains exactly these files."""
    entries = [{"md5": file.md5, "relpath": file.name} for file in sorted(files, key=lambda file: file.name)]
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode()).hexdigest() + ".dir"
