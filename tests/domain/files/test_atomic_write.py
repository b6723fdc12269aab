"""Atomic writes leave either the old or the new content, even if a process is killed or the disk is full."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from marquee.files.atomic_write import (
    move_into_place,
    replace_file,
    replace_folder,
    sync_folder,
    write_atomically,
    write_json,
)

KILL_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
from marquee.files.atomic_write import write_atomically
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), "new")
"""
KILL_BETWEEN_RENAMES = """
import os, signal, sys
from pathlib import Path
from marquee.files.atomic_write import replace_folder
rename = Path.rename
def rename_once(self, target):
    rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = rename_once
with replace_folder(Path(sys.argv[1])) as folder:
    (folder / "file").write_text("new")
"""


def run_until_killed(script: str, path: Path) -> None:
    process = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert process.returncode == -signal.SIGKILL


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_without_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    write_atomically(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert file_names(tmp_path) == ["file"]


def test_process_killed_before_rename_leaves_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    run_until_killed(KILL_BEFORE_RENAME, path)
    assert path.read_text() == "old"
    assert len(file_names(tmp_path)) == 2  # the process was killed before it could remove its draft
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_file_is_synced_before_and_folder_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def record_fsync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def record_rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_rename)
    write_atomically(tmp_path / "file", "new")
    assert order == ["file", "rename", "folder"]
    order.clear()
    write_atomically(tmp_path / "file", "newer", sync=False)
    assert order == ["rename"]
    assert (tmp_path / "file").read_text() == "newer"


def test_failed_write_keeps_old_file_and_removes_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", raise_disk_full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert file_names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("mode", "expected"), [(None, 0o640), (0o600, 0o600), (0o644, 0o644), (0o666, 0o666)]
)
def test_file_mode_overrides_umask(tmp_path: Path, mode: int | None, expected: int) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "secret", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


def test_file_mode_is_set_before_content_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initial_modes: list[int] = []
    fchmod = os.fchmod

    def record_fchmod(descriptor: int, mode: int) -> None:
        initial_modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", record_fchmod)
    write_atomically(tmp_path / "key", "secret", mode=0o600)
    assert initial_modes == [0o600]


def test_equal_json_trees_give_equal_bytes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tree.json"
    write_json(path, {"b": [1], "a": "é"})
    first = path.read_bytes()
    write_json(path, {"a": "é", "b": [1]})
    assert path.read_bytes() == first
    assert first == '{\n  "a": "é",\n  "b": [\n    1\n  ]\n}\n'.encode()
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text()) == {"a": "é", "b": [1]}


def test_move_into_place_replaces_the_file(tmp_path: Path) -> None:
    draft, path = tmp_path / "draft", tmp_path / "file"
    draft.write_text("new")
    path.write_text("old")
    move_into_place(draft, path)
    assert path.read_text() == "new"
    assert file_names(tmp_path) == ["file"]


def test_sync_folder_ignores_only_the_error_for_unsupported_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_error(number: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", lambda _: raise_error(errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: raise_error(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


# Folders


def create_folder(path: Path, file_name: str) -> Path:
    path.mkdir()
    (path / file_name).touch()
    return path


def test_large_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replace_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert file_names(tmp_path) == ["file"]


def test_error_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError), replace_file(path) as file:
        file.writelines([b"new", "text"])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert file_names(tmp_path) == ["file"]


def test_folder_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "parent" / "folder"
    with replace_folder(path) as folder:
        (folder / "first").touch()
    with replace_folder(path) as folder:
        (folder / "second").touch()
        assert file_names(path) == ["first"]
    assert file_names(path) == ["second"]
    assert file_names(path.parent) == ["folder"]


def test_error_in_the_block_keeps_the_old_folder(tmp_path: Path) -> None:
    path = create_folder(tmp_path / "folder", "old")
    with pytest.raises(FileNotFoundError), replace_folder(path) as folder:
        (folder / "missing" / "new").touch()
    assert file_names(path) == ["old"]
    assert file_names(tmp_path) == ["folder"]


def test_folder_of_process_killed_between_renames_is_restored(tmp_path: Path) -> None:
    path = create_folder(tmp_path / "folder", "old")
    run_until_killed(KILL_BETWEEN_RENAMES, path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError), replace_folder(path) as folder:
        (folder / "missing" / "new").touch()
    assert file_names(path) == ["old"]
    assert file_names(tmp_path) == ["folder"]
