"""Atomic writes: after a crash at any moment, a file or folder has its old content or its new one."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: str | bytes, *, mode: int | None = None, sync: bool = True) -> None:
    """Replace a file in one step; readers see the old content or the new one, never a part.

    Args:
        path: the file, in a folder that exists.
        content: text is encoded as UTF-8.
        mode: permissions of the new file, which it has before anything is written to it; None: those that the
            umask leaves.
        sync: return only when the content is on disk. Without it, a power cut soon afterwards may leave an
            empty file: only for files that are rewritten all the time, by a process that must not wait.

    Raises:
        OSError: the file could not be written; the old one is still there.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_new(draft, content.encode() if isinstance(content, str) else content, mode)
        if sync:
            move_into_place(draft, path)
        else:
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)  # on a full disk it would be in the way
        raise


def write_json(path: Path, tree: Any, *, sync: bool = True) -> None:
    """Replace a file by JSON with sorted keys, so that equal content gives equal bytes.

    Args:
        path: the file; its folder is created if necessary.
        tree: the content.
        sync: as for `write_atomically`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(path, f"{text}\n", sync=sync)


def move_into_place(draft: Path, path: Path) -> None:
    """Rename a finished file to another name in its folder; on return, content and name are on disk."""
    _sync(draft)
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of the one at `path` when the block ends.

    If the block raises, the old folder stays as it was. Only one process at a time may replace a folder: what
    a killed one left behind is removed.
    """
    new, old = (path.with_name(f".{path.name}.{which}") for which in ("new", "old"))
    if old.exists() and not path.exists():
        old.rename(path)  # a process was killed between the two renames below
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder (new, renamed and removed files) are on disk."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # network file systems that cannot do it say so
            raise


def _write_new(path: Path, content: bytes, mode: int | None) -> None:
    """Write a file that does not exist yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(path, flags, 0o666 if mode is None else mode)
    with os.fdopen(handle, "wb") as file:
        if mode is not None:
            os.fchmod(handle, mode)  # the umask may have taken some of it away
        file.write(content)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
