"""What a controller has counted, put aside on disk: after a restart it goes on from there.

A copy is a shortcut and no record: the journal and the events hold everything, so one that is damaged, of
another rollout or of other code is as good as none.
"""

import hashlib
import logging
import os
import pickle
import struct
from functools import cache
from pathlib import Path

import marquee
import service

PACKAGES = (marquee, service)
DIGEST = 32  # bytes
log = logging.getLogger("controller")


def keep(path: Path, name: str, counted: object) -> None:
    """Write a copy, whole or not at all. That it cannot be written stops nothing."""
    body = _head(name) + pickle.dumps(counted)
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        log.warning("what was counted is not kept: %s", error)


def recall(path: Path, name: str) -> object | None:
    """The copy of a rollout, if there is one that this very code wrote and that is whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, body, head = data[:DIGEST], data[DIGEST:], _head(name)
    if hashlib.sha256(body).digest() != digest or not body.startswith(head):
        return None
    counted: object = pickle.loads(body[len(head) :])  # our own, in a folder that is ours alone
    return counted


def _head(name: str) -> bytes:
    told = f"{_code()} {name}".encode()
    return struct.pack("<I", len(told)) + told


@cache
def _code() -> str:
    """Digest of the code whose objects a copy holds: those of another edition are not read."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
