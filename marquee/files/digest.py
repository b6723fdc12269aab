"""Digests of files, in hexadecimal; a file is read in pieces, whatever its size."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes: what ours are checked by."""
    return _digest(path, "sha256")


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes: what GroupLens publishes and DVC computes."""
    return _digest(path, "md5")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
