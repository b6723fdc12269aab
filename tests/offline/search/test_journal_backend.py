"""The journal of a search: whole lines, whoever writes and whenever they die."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.search.journal import JournalFile
from marquee.errors import MarqueeError


def test_a_cut_line_is_cut_off_before_the_next_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = JournalFile(path)
    journal.append_logs([{"op": 1}, {"op": 2}])
    with path.open("ab") as file:
        file.write(b'{"op": 3, "half')
    assert [log["op"] for log in JournalFile(path).read_logs(0)] == [1, 2]
    journal.append_logs([{"op": 4}])
    assert [log["op"] for log in journal.read_logs(0)] == [1, 2, 4]
    assert [log["op"] for log in journal.read_logs(2)] == [4]
    assert path.read_bytes().count(b"\n") == 3


def test_a_journal_of_nothing_but_half_a_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"op"' * 2000)
    journal = JournalFile(path)
    journal.append_logs([{"op": 1}])
    assert path.read_bytes() == b'{"op":1}\n'


def test_many_processes_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    script = (
        "import sys; from pathlib import Path; from experiments.search.journal import JournalFile\n"
        "journal = JournalFile(Path(sys.argv[1]))\n"
        "for n in range(200): journal.append_logs([{'who': sys.argv[2], 'n': n}])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(n)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    logs = list(JournalFile(path).read_logs(0))
    assert len(logs) == 600
    for who in "012":
        assert [log["n"] for log in logs if log["who"] == who] == list(range(200))


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").mkdir()
    with pytest.raises(MarqueeError, match="cannot write to"):
        journal.append_logs([{"op": 1}])
