"""Journals of lines: whole lines, whoever writes and whenever they die."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from marquee.files.journal import BLOCK, append_lines, whole_lines

APPEND_MANY = """
import sys
from pathlib import Path
from marquee.files.journal import append_lines
for number in range(100):
    append_lines(Path(sys.argv[1]), [f"{sys.argv[2]} {number} {half}".encode() for half in (1, 2)])
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.touch()
    return path


def lines_of(path: Path, start: int = 0) -> list[bytes]:
    with path.open("rb") as file:
        return [line for line, _ in whole_lines(file, start)]


def test_lines_are_read_in_the_order_in_which_they_were_appended(journal: Path) -> None:
    append_lines(journal, [b"one", b"two"])
    append_lines(journal, [])
    append_lines(journal, [b"three"])
    assert journal.read_bytes() == b"one\ntwo\nthree\n"
    assert lines_of(journal) == [b"one\n", b"two\n", b"three\n"]


@pytest.mark.parametrize("torn", [b"t", b'{"half', b"x" * (BLOCK - 1), b"x" * BLOCK, b"x" * (3 * BLOCK + 1)])
@pytest.mark.parametrize("before", [b"", b"one\n", b"one\n" * BLOCK])
def test_a_torn_line_is_left_out_and_cut_off_before_the_next(
    journal: Path, before: bytes, torn: bytes
) -> None:
    journal.write_bytes(before + torn)
    assert b"".join(lines_of(journal)) == before
    append_lines(journal, [b"next"])
    assert journal.read_bytes() == before + b"next\n"


def test_a_reader_goes_on_behind_the_last_whole_line(journal: Path) -> None:
    append_lines(journal, [b"one"])
    with journal.open("rb") as file:
        ((_, end),) = whole_lines(file, 0)
        with journal.open("ab") as writer:
            writer.write(b"tw")
        assert list(whole_lines(file, end)) == []
        with journal.open("ab") as writer:
            writer.write(b"o\n")
        assert list(whole_lines(file, end)) == [(b"two\n", 8)]


def test_many_processes_append_at_once(journal: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(journal), str(number)])
        for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = [line.decode().split() for line in lines_of(journal)]
    assert len(lines) == 600
    for who in "012":
        own = [(number, half) for name, number, half in lines if name == who]
        assert own == [(str(number), half) for number in range(100) for half in "12"]
    assert all(first[:2] == second[:2] for first, second in zip(lines[::2], lines[1::2], strict=True))


def test_a_writer_waits_until_another_has_ended_its_line(journal: Path) -> None:
    with ThreadPoolExecutor(1) as pool, journal.open("ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"o")
        waiting = pool.submit(append_lines, journal, [b"two"])
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        other.write(b"ne\n")
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting.result(10)
    assert journal.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_after_an_error_none_of_the_lines_is_there(
    journal: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    append_lines(journal, [b"one"])
    write = os.write

    def full(file: int, data: bytes = b"") -> None:
        if call == "write":
            write(file, data[:3])  # a part of it is taken first
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        append_lines(journal, [b"two", b"three"])
    monkeypatch.undo()
    assert journal.read_bytes() == b"one\n"
    append_lines(journal, [b"four"])
    assert journal.read_bytes() == b"one\nfour\n"


def test_a_write_that_takes_a_part_is_carried_on(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:2]))
    append_lines(journal, [b"one", b"two"])
    assert journal.read_bytes() == b"one\ntwo\n"


def test_lines_are_on_disk_when_appending_returns(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size))
    append_lines(journal, [b"one", b"two"])
    assert synced == [len(b"one\ntwo\n")]


def test_a_journal_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        append_lines(tmp_path / "journal", [b"one"])
    assert not (tmp_path / "journal").exists()
