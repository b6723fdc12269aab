"""Journal backend: readers see only complete lines, with concurrent writers and killed ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.search.journal_backend import JournalBackend
from marquee.errors import MarqueeError

APPEND_200_LOGS = """
import sys
from pathlib import Path
from experiments.search.journal_backend import JournalBackend
journal = JournalBackend(Path(sys.argv[1]))
for n in range(200):
    journal.append_logs([{"writer": sys.argv[2], "n": n}])
"""


def test_torn_line_is_removed_before_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = JournalBackend(path)
    journal.append_logs([{"op": 1}, {"op": 2}])
    with path.open("ab") as file:
        file.write(b'{"op": 3, "half')
    assert [log["op"] for log in JournalBackend(path).read_logs(0)] == [1, 2]
    journal.append_logs([{"op": 4}])
    assert [log["op"] for log in journal.read_logs(0)] == [1, 2, 4]
    assert [log["op"] for log in journal.read_logs(2)] == [4]
    assert path.read_bytes().count(b"\n") == 3


def test_journal_with_only_a_torn_line_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"op"' * 2000)
    journal = JournalBackend(path)
    journal.append_logs([{"op": 1}])
    assert path.read_bytes() == b'{"op":1}\n'


def test_concurrent_writers_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writers = [subprocess.Popen([sys.executable, "-c", APPEND_200_LOGS, str(path), str(n)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    logs = list(JournalBackend(path).read_logs(0))
    assert len(logs) == 600
    for writer in "012":
        assert [log["n"] for log in logs if log["writer"] == writer] == list(range(200))


def test_unwritable_journal_is_reported_clearly(tmp_path: Path) -> None:
    journal = JournalBackend(tmp_path / "journal")
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").mkdir()
    with pytest.raises(MarqueeError, match="cannot write the search journal"):
        journal.append_logs([{"op": 1}])
