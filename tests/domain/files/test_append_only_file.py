"""Append-only files: readers get only complete lines, even with several writers and killed ones."""

import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from marquee.files.append_only_file import SEARCH_BLOCK_BYTES, append_lines, read_complete_lines

APPEND_HUNDRED_PAIRS = """
import sys
from pathlib import Path
from marquee.files.append_only_file import append_lines
for number in range(100):
    append_lines(Path(sys.argv[1]), [f"{sys.argv[2]} {number} {half}".encode() for half in (1, 2)])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of an empty file."""
    path = tmp_path / "lines"
    path.touch()
    return path


def read_all_lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [line for line, _ in read_complete_lines(file, 0)]


def test_lines_are_read_in_order_of_appending(path: Path) -> None:
    append_lines(path, [b"one", b"two"])
    append_lines(path, [])
    append_lines(path, [b"three"])
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert read_all_lines(path) == [b"one\n", b"two\n", b"three\n"]


@pytest.mark.parametrize(
    "torn",
    [
        b"t",
        b'{"half',
        b"x" * (SEARCH_BLOCK_BYTES - 1),
        b"x" * SEARCH_BLOCK_BYTES,
        b"x" * (3 * SEARCH_BLOCK_BYTES + 1),
    ],
)
@pytest.mark.parametrize("before", [b"", b"one\n", b"one\n" * SEARCH_BLOCK_BYTES])
def test_torn_line_is_ignored_and_removed_by_the_next_append(path: Path, before: bytes, torn: bytes) -> None:
    path.write_bytes(before + torn)
    assert b"".join(read_all_lines(path)) == before
    append_lines(path, [b"next"])
    assert path.read_bytes() == before + b"next\n"


def test_reader_can_continue_after_the_last_complete_line(path: Path) -> None:
    append_lines(path, [b"one"])
    with path.open("rb") as file:
        ((_, end),) = read_complete_lines(file, 0)
        with path.open("ab") as writer:
            writer.write(b"tw")
        assert list(read_complete_lines(file, end)) == []
        with path.open("ab") as writer:
            writer.write(b"o\n")
        assert list(read_complete_lines(file, end)) == [(b"two\n", 8)]


def test_lines_of_concurrent_processes_are_not_mixed(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND_HUNDRED_PAIRS, str(path), str(number)])
        for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = [line.decode().split() for line in read_all_lines(path)]
    assert len(lines) == 600
    for writer_name in "012":
        own = [(number, half) for name, number, half in lines if name == writer_name]
        assert own == [(str(number), half) for number in range(100) for half in "12"]
    assert all(first[:2] == second[:2] for first, second in zip(lines[::2], lines[1::2], strict=True))


def test_writer_waits_until_another_completes_its_line(path: Path) -> None:
    with ThreadPoolExecutor(1) as pool, path.open("ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"o")
        append = pool.submit(append_lines, path, [b"two"])
        with pytest.raises(TimeoutError):
            append.result(0.2)
        other.write(b"ne\n")
        fcntl.flock(other, fcntl.LOCK_UN)
        append.result(10)
    assert path.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_failed_append_leaves_no_line(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    append_lines(path, [b"one"])
    write = os.write

    def raise_disk_full(descriptor: int, data: bytes = b"") -> None:
        if call == "write":
            write(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, raise_disk_full)
    with pytest.raises(OSError, match="No space"):
        append_lines(path, [b"two", b"three"])
    monkeypatch.undo()
    assert path.read_bytes() == b"one\n"
    append_lines(path, [b"four"])
    assert path.read_bytes() == b"one\nfour\n"


def test_partial_writes_are_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:2]))
    append_lines(path, [b"one", b"two"])
    assert path.read_bytes() == b"one\ntwo\n"


def test_lines_are_on_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced_sizes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced_sizes.append(os.fstat(descriptor).st_size))
    append_lines(path, [b"one", b"two"])
    assert synced_sizes == [len(b"one\ntwo\n")]


def test_append_does_not_create_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        append_lines(tmp_path / "lines", [b"one"])
    assert not (tmp_path / "lines").exists()
