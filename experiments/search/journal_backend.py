"""Optuna journal backend: the state of a search on one machine, in one file with one line per operation.

Optuna's own file backend fails permanently on a torn line. It locks with a second file, which blocks the
other processes for half a minute if the holder is killed. `marquee.files.append_only_file` avoids both.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from marquee.errors import MarqueeError
from marquee.files.append_only_file import append_lines, read_complete_lines


class JournalBackend(BaseJournalBackend):
    """Append-only journal file that any number of processes on one machine can share.

    Args:
        path: the file. It is created with its folder if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Offset in bytes, by line number, of the first line and of the line after the last one read.
        self._line_offsets = {0: 0}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the operations from a number on, except a line that is still being written.

        Raises:
            FileNotFoundError: the file was deleted.
        """
        first = max(number for number in self._line_offsets if number <= log_number_from)
        with self._path.open("rb") as file:
            for number, (line, end) in enumerate(
                read_complete_lines(file, self._line_offsets[first]), start=first
            ):
                self._line_offsets = {0: 0, number + 1: end}
                if number >= log_number_from:
                    yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append all operations to the file, or none of them if that fails.

        Raises:
            MarqueeError: the disk is full, or the file cannot be written.
            FileNotFoundError: the file was deleted.
        """
        try:
            append_lines(self._path, [json.dumps(log, separators=(",", ":")).encode() for log in logs])
        except FileNotFoundError:
            raise  # the search has ended and deleted its state
        except OSError as error:
            raise MarqueeError(
                f"cannot write the search journal {self._path} ({error.strerror}); free disk space and run "
                "the search again to resume it"
            ) from error
