"""Journal of a rollout: one line per entry, appended and synced, never changed."""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_atomically
from marquee.files.journal import append_lines, whole_lines
from marquee.files.lock import open_locked
from marquee.rollout.state import Rollout, fold

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
        journal = cls(path)
        journal._reserve.write_bytes(bytes(ROOM))
        write_atomically(path, _line("began", **told) + b"\n")
        return journal

    def append(self, entry: str, **told: Any) -> None:
        """Add an entry; on return it is on disk. What ends a rollout may use the room that is kept for it."""
        line = _line(entry, **told)
        try:
            append_lines(self.path, [line])
        except OSError as error:
            if error.errno != errno.ENOSPC or entry not in ENDING_IT or not self._reserve.exists():
                raise
            self._reserve.unlink()
            append_lines(self.path, [line])

    @property
    def _reserve(self) -> Path:
        return self.path.with_suffix(".room")

    def entries(self) -> list[dict[str, Any]]:
        """Every whole entry, oldest first."""
        with self.path.open("rb") as file:
            return _entries(line for line, _ in whole_lines(file, 0))

    def rollout(self) -> Rollout:
        """The state that it tells of."""
        before, offset = _folded.get(self.path, (None, 0))
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < offset:  # another file of this name
                    before, offset = None, 0
                lines = [*whole_lines(file, offset)]
            rollout = fold(_entries(line for line, _ in lines), before)
        except (MarqueeError, KeyError, ValueError) as error:
            raise MarqueeError(f"{self.path} cannot be read ({error}): move it away") from None
        _folded[self.path] = rollout, lines[-1][1] if lines else offset
        return rollout


# How far each journal was read, and the state there: they grow, and are looked at twice a second.
_folded: dict[Path, tuple[Rollout, int]] = {}


def _line(entry: str, **told: Any) -> bytes:
    return json.dumps({"entry": entry, "time": time.time(), **told}, allow_nan=False).encode()


def _entries(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """What is no entry is passed over: a line that an edition before this one left torn."""
    found = []
    for line in lines:
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
    try:
        lock = open_locked(path, wait=False)
    except BlockingIOError:
        raise MarqueeError(refusal) from None
    try:
        yield
    finally:
        os.close(lock)
