"""The journal of a rollout: one line an entry, appended and synced, never changed.

A line that was cut off by a crash is no entry; the next one begins on a line of its own.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marquee.errors import MarqueeError
from marquee.rollout import Rollout, fold

FOLDER, ENDING = "rollouts", ".jsonl"
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
        draft.path.replace(path)
        return cls(path)

    def append(self, entry: str, **told: Any) -> None:
        """Add an entry; on return it is on disk."""
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
        found = []
        for line in self.path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "entry" in entry:
                found.append(entry)
        return found

    def rollout(self) -> Rollout:
        """The state that it tells of."""
        try:
            return fold(self.entries())
        except (MarqueeError, KeyError) as error:
            raise MarqueeError(f"{self.path} cannot be read ({error}): move it away") from None


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
