"""What a controller has counted, put aside on disk: after a restart it goes on from there.

A copy is a shortcut and no record: the journal and the events hold everything, so one that is damaged, of
another rollout or of other code is as good as none.
"""

import hashlib
import logging
import pickle
import shutil
import struct
from pathlib import Path
from typing import cast

import experiments
import marquee
import pipelines
import service
from marquee.files.atomic_write import write_atomically

PACKAGES = (experiments, marquee, pipelines, service)
DIGEST = 32  # bytes
ROOM = 4  # times what a copy takes has to be free: it is the last that should fill a disk
log = logging.getLogger("controller")


def keep(path: Path, name: str, counted: object) -> None:
    """Write a copy, whole or not at all. That it cannot be written stops nothing."""
    body = _head(name) + pickle.dumps(counted)
    try:
        if shutil.disk_usage(path.parent).free < ROOM * len(body):
            log.warning("what was counted is not kept: the disk is nearly full")
            return
        write_atomically(path, hashlib.sha256(body).digest() + body)
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
    try:
        return cast("object", pickle.loads(body[len(head) :]))  # our own, in a folder that is ours alone
    except Exception:  # pickle promises nothing about what it raises
        log.exception("what was counted cannot be read, and is counted anew")
        return None


def _head(name: str) -> bytes:
    told = f"{CODE} {name}".encode()
    return struct.pack("<I", len(told)) + told


def _digest() -> str:
    """Of the code whose objects a copy holds: those of another edition are not read."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


CODE = _digest()  # now, and not when it is asked for: files may be another edition's by then
