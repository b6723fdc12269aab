"""The file in which a search on one machine remembers itself: a line an operation, whole or not at all.

Optuna's own file backend is locked by a second file, which a killed process leaves behind for half a minute,
and stops for ever at a line that was cut. `marquee.files.journal` does neither.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from marquee.errors import MarqueeError
from marquee.files.journal import append_lines, whole_lines


class JournalFile(BaseJournalBackend):
    """Optuna's journal in one file, for any number of processes of one machine.

    Args:
        path: the file; it and its folder are made when they are not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets = {0: 0}  # where a line begins; enough to read on where one left off
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The operations from that number on; a line that is still being written is left for next time.

        Raises:
            FileNotFoundError: the file is there no more.
        """
        known = max(number for number in self._offsets if number <= log_number_from)
        with self._path.open("rb") as file:
            for number, (line, end) in enumerate(whole_lines(file, self._offsets[known]), start=known):
                self._offsets = {0: 0, number + 1: end}
                if number >= log_number_from:
                    yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, all of them or none.

        Raises:
            MarqueeError: the disk is full, or the file cannot be written; what it held it still holds.
            FileNotFoundError: the file is there no more.
        """
        try:
            append_lines(self._path, [json.dumps(log, separators=(",", ":")).encode() for log in logs])
        except FileNotFoundError:
            raise  # the search is over, and took it away
        except OSError as error:
            raise MarqueeError(
                f"the search cannot write to {self._path} ({error.strerror}): make room, and run it again; "
                "it goes on where it was"
            ) from error
