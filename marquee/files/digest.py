"""Hexadecimal digests of files of any size."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    return _digest(path, "sha256")


def md5_of(path: Path) -> str:
    """Return the MD5 digest of a file, for comparison with those that GroupLens publishes and DVC records."""
    return _digest(path, "md5")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
