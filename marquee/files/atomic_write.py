"""Atomic writes: after a crash at any time, a file or folder has either its old or its new content."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, content: str | bytes, *, mode: int | None = None, sync: bool = True) -> None:
    """Replace a file in one step; readers see either the old or the new content.

    Args:
        path: file in an existing folder.
        content: text is encoded as UTF-8.
        mode: permissions of the new file, set before anything is written to it; None: from the umask.
        sync: wait until the content is on disk. False suits files that are rewritten often by a process that
            must not wait, but a power failure soon after the write may leave an empty file.

    Raises:
        OSError: the file could not be written; the old file is unchanged.
    """
    draft = _draft_path(path)
    try:
        _write_new_file(draft, content.encode() if isinstance(content, str) else content, mode)
        if sync:
            move_into_place(draft, path)
        else:
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_json(path: Path, tree: Any, *, sync: bool = True) -> None:
    """Replace a file with JSON whose keys are sorted, so that equal trees give equal bytes.

    Args:
        path: file; its folder is created if necessary.
        tree: content.
        sync: as for `write_atomically`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(path, f"{text}\n", sync=sync)


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Yield an empty file that replaces the file at `path` when the `with` block ends.

    It suits content that is too large for `write_atomically`. If the block raises, the old file is unchanged.

    Raises:
        OSError: the file could not be created or written.
    """
    draft = _draft_path(path)
    try:
        with draft.open("xb") as file:
            yield file
        move_into_place(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def move_into_place(draft: Path, path: Path) -> None:
    """Rename a complete file within its folder; return when content and name are on disk."""
    _sync(draft)
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces the folder at `path` when the `with` block ends.

    If the block raises, the old folder is unchanged. Leftovers of a killed process are removed, so only one
    process at a time may replace a folder.
    """
    new, old = (path.with_name(f".{path.name}.{suffix}") for suffix in ("new", "old"))
    if old.exists() and not path.exists():
        old.rename(path)  # a process was killed between the two renames below
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
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
    """Wait until the creation, renaming and removal of files in a folder are on disk."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync folders
            raise


def _draft_path(path: Path) -> Path:
    """Return a new name, in the same folder, for a file that is being written."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _write_new_file(path: Path, content: bytes, mode: int | None) -> None:
    """Write a file that must not exist yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666 if mode is None else mode)
    with os.fdopen(descriptor, "wb") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)  # the umask may have removed some permissions
        file.write(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
