"""The journal of a rollout: one line an entry, appended and synced, never changed.

A line that was cut off by a crash is no entry; the next one begins on a line of its own.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marquee.errors import MarqueeError
from marquee.rollout import Rollout, fold

FOLDER, ENDING = "rollouts", ".jsonl"
ENDING_IT, ROOM = frozenset({"asked", "concluded", "ended"}), 1 << 16  # bytes that are kept for these
STATUS = "rollout.json"  # what the controller saw last, for whoever looks


class Journal:
    """One rollout's file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def begin(cls, path: Path, **told: Any) -> "Journal":
        """A new one with its first entry: there is a whole one or none."""
        draft = cls(path.with_suffix(".draft"))
        draft.path.unlink(missing_ok=True)
        draft.append("began", **told)
        journal = cls(path)
        journal._reserve.write_bytes(bytes(ROOM))
        draft.path.replace(path)
        return journal

    def append(self, entry: str, **told: Any) -> None:
        """Add an entry; on return it is on disk. What ends a rollout may use the room that is kept for it."""
        try:
            self._append(entry, told)
        except OSError as error:
            if error.errno != errno.ENOSPC or entry not in ENDING_IT or not self._reserve.exists():
                raise
            self._reserve.unlink()
            self._append(entry, told)

    @property
    def _reserve(self) -> Path:
        return self.path.with_suffix(".room")

    def _append(self, entry: str, told: Mapping[str, Any]) -> None:
        line = json.dumps({"entry": entry, "time": time.time(), **told}, allow_nan=False) + "\n"
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    line = f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[dict[str, Any]]:
        """Every whole entry, oldest first."""
        return _entries(self.path.read_bytes())

    def rollout(self) -> Rollout:
        """The state that it tells of."""
        before, offset = _folded.get(self.path, (None, 0))
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < offset:  # another file of this name
                    before, offset = None, 0
                file.seek(offset)
                data = file.read()
            if whole := data.rfind(b"\n") + 1:
                before = fold(_entries(data[:whole]), before)
                _folded[self.path] = before, offset + whole
            return fold(_entries(data[whole:]), before)  # a line that is cut off may yet become whole
        except (MarqueeError, KeyError, ValueError) as error:
            raise MarqueeError(f"{self.path} cannot be read ({error}): move it away") from None


# How far each journal was read, and the state there: they grow, and are looked at twice a second.
_folded: dict[Path, tuple[Rollout, int]] = {}


def _entries(data: bytes) -> list[dict[str, Any]]:
    found = []
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "entry" in entry:
            found.append(entry)
    return found


def journals(folder: Path) -> list[Journal]:
    """Every rollout's, oldest first."""
    return [Journal(path) for path in sorted((folder / FOLDER).glob(f"*{ENDING}"))]


def active(folder: Path) -> Journal | None:
    """That of the rollout that runs, if one does."""
    found = [journal for journal in journals(folder)[-1:] if journal.rollout().running]
    return found[0] if found else None


def refuse_another(folder: Path) -> None:
    """One rollout at a time.

    Raises:
        MarqueeError: one runs.
    """
    if running := active(folder):
        raise MarqueeError(
            f"rollout {running.rollout().name} runs: `marquee canary status` shows it, "
            "`marquee canary rollback` ends it"
        )


def create(folder: Path, name: str, **told: Any) -> Journal:
    """Begin a rollout.

    Raises:
        MarqueeError: another one runs.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with held(folder / "beginning.lock", "another rollout is just beginning"):
        refuse_another(folder)
        return Journal.begin(folder / FOLDER / f"{name}{ENDING}", name=name, **told)


@contextmanager
def held(path: Path, refusal: str) -> Iterator[None]:
    """One process at a time.

    Raises:
        MarqueeError: another one holds it, with the refusal.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MarqueeError(refusal) from None
        yield
