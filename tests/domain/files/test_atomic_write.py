"""Atomic writes: the old content or the new one, whatever is killed or full."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from marquee.files.atomic_write import move_into_place, new_folder, sync_folder, write_atomically, write_json

KILLED_BEFORE_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from marquee.files.atomic_write import write_atomically
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), "new")
"""
KILLED_BETWEEN_TWO_RENAMES = """
import os, signal, sys
from pathlib import Path
from marquee.files.atomic_write import new_folder
rename = Path.rename
def rename_once(self, target):
    rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = rename_once
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "file").write_text("new")
"""


def run_until_killed(script: str, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_content_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    write_atomically(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert names(tmp_path) == ["file"]


def test_a_process_killed_before_the_rename_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    run_until_killed(KILLED_BEFORE_THE_RENAME, path)
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2  # the draft is there: it died in the middle
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_content_is_synced_before_the_rename_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "file", "new")
    assert order == ["file", "rename", "folder"]
    order.clear()
    write_atomically(tmp_path / "file", "newer", sync=False)
    assert order == ["rename"]
    assert (tmp_path / "file").read_text() == "newer"


def test_after_an_error_the_old_file_is_there_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("mode", "expected"), [(None, 0o640), (0o600, 0o600), (0o644, 0o644), (0o666, 0o666)]
)
def test_permissions_are_those_asked_for_whatever_the_umask(
    tmp_path: Path, mode: int | None, expected: int
) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "secret", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


def test_a_secret_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    change = os.fchmod

    def fchmod(handle: int, mode: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        change(handle, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    write_atomically(tmp_path / "key", "secret", mode=0o600)
    assert seen == [0o600]


def test_equal_json_is_equal_bytes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tree.json"
    write_json(path, {"b": [1], "a": "é"})
    first = path.read_bytes()
    write_json(path, {"a": "é", "b": [1]})
    assert path.read_bytes() == first
    assert first == '{\n  "a": "é",\n  "b": [\n    1\n  ]\n}\n'.encode()
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text()) == {"a": "é", "b": [1]}


def test_a_finished_file_is_moved(tmp_path: Path) -> None:
    draft, path = tmp_path / "draft", tmp_path / "file"
    draft.write_text("new")
    path.write_text("old")
    move_into_place(draft, path)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_a_file_system_that_cannot_sync_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", lambda _: refuse(22))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: refuse(5))
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


# Folders -----------------------------------------------------------------------------------------------


def folder_with(path: Path, content: str) -> Path:
    path.mkdir()
    (path / content).write_text(content)
    return path


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "above" / "folder"
    with new_folder(path) as folder:
        (folder / "first").touch()
    with new_folder(path) as folder:
        (folder / "second").touch()
        assert names(path) == ["first"]
    assert names(path) == ["second"]
    assert names(path.parent) == ["folder"]


def test_after_an_error_the_old_folder_is_there(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "folder", "old")
    with pytest.raises(FileNotFoundError), new_folder(path) as folder:
        (folder / "missing" / "new").touch()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_what_a_killed_process_left_of_a_folder_is_made_good(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "folder", "old")
    run_until_killed(KILLED_BETWEEN_TWO_RENAMES, path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError), new_folder(path) as folder:
        (folder / "missing" / "new").touch()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]
