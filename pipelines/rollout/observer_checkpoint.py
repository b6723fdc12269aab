"""Checkpoint: counts of an observer on disk, so that a restarted controller need not read all events again.

A checkpoint only saves time: the same counts follow from the journal and the events. It is ignored if it is
damaged, or if it belongs to another rollout or was written by other code.
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
DIGEST_BYTES = 32
# A checkpoint is written only if this many times its size is free, so that it never fills the disk.
MIN_FREE_SPACE_RATIO = 4
log = logging.getLogger("controller")


def save(path: Path, rollout_name: str, counts: object) -> None:
    """Write a checkpoint atomically, or log a warning if it cannot be written."""
    body = _header(rollout_name) + pickle.dumps(counts)
    try:
        if shutil.disk_usage(path.parent).free < MIN_FREE_SPACE_RATIO * len(body):
            log.warning("no checkpoint was written: the disk is nearly full")
            return
        write_atomically(path, hashlib.sha256(body).digest() + body)
    except OSError as error:
        log.warning("no checkpoint was written: %s", error)


def load(path: Path, rollout_name: str) -> object | None:
    """Return the counts in a checkpoint, or None without a valid checkpoint of this rollout and this code."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, body, header = data[:DIGEST_BYTES], data[DIGEST_BYTES:], _header(rollout_name)
    if hashlib.sha256(body).digest() != digest or not body.startswith(header):
        return None
    try:
        # A trusted pickle: the digest matches, and only this user can write to the folder.
        return cast("object", pickle.loads(body[len(header) :]))
    except Exception:  # unpickling may raise anything
        log.exception("the checkpoint cannot be loaded; all events are read again")
        return None


def _header(rollout_name: str) -> bytes:
    text = f"{CODE_DIGEST} {rollout_name}".encode()
    return struct.pack("<I", len(text)) + text


def _digest_code() -> str:
    """Return a digest of all packages whose objects a checkpoint may contain."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


# Computed on import: later, the files on disk may belong to another version than the running code.
CODE_DIGEST = _digest_code()
