"""Journal of a rollout: one line per entry, appended and synced, never changed."""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from marquee.errors import MarqueeError
from marquee.files.append_only_file import append_lines, read_complete_lines
from marquee.files.atomic_write import write_atomically
from marquee.files.lock import acquire_lock
from marquee.rollout.state import JOURNAL_VERSION, Rollout, replay

JOURNALS_FOLDER = "rollouts"
JOURNAL_SUFFIX, RESERVE_SUFFIX = ".jsonl", ".reserve"
RESERVED_BYTES = 1 << 16
# Entries that may use the reserved space: without them, a rollout could not be ended while the disk is full.
ESSENTIAL_ENTRIES = frozenset({"operator_command", "concluded", "finished"})


class _ReplayPosition(NamedTuple):
    """State of a rollout after the entries before an offset of its journal."""

    rollout: Rollout | None
    offset: int


START_OF_JOURNAL = _ReplayPosition(None, 0)
_replay_cache: dict[Path, _ReplayPosition] = {}


class Journal:
    """Journal file of one rollout."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, **fields: Any) -> "Journal":
        """Create a journal with its first entry. After a crash it is complete or does not exist."""
        journal = cls(path)
        journal._reserve.write_bytes(bytes(RESERVED_BYTES))
        write_atomically(path, _encode_entry("started", version=JOURNAL_VERSION, **fields) + b"\n")
        return journal

    def append(self, entry: str, **fields: Any) -> None:
        """Append an entry; return when it is on disk.

        If the disk is full, `ESSENTIAL_ENTRIES` use the space that was reserved for them.

        Raises:
            OSError: the disk is full, read-only or broken; nothing was appended.
        """
        line = _encode_entry(entry, **fields)
        try:
            append_lines(self.path, [line])
        except OSError as error:
            if error.errno != errno.ENOSPC or entry not in ESSENTIAL_ENTRIES or not self._reserve.exists():
                raise
            self._reserve.unlink()
            append_lines(self.path, [line])

    @property
    def _reserve(self) -> Path:
        return self.path.with_suffix(RESERVE_SUFFIX)

    def read_entries(self) -> list[dict[str, Any]]:
        """Read all complete entries, oldest first."""
        with self.path.open("rb") as file:
            return _decode_entries(line for line, _ in read_complete_lines(file, 0))

    def read_rollout(self) -> Rollout:
        """Replay the journal and return the state of the rollout after all entries.

        Raises:
            MarqueeError: the journal is damaged, or was written by an incompatible version of Marquee.
        """
        try:
            return self._replay_new_entries()
        except (MarqueeError, KeyError, ValueError) as error:
            reason = f"an entry lacks the field {error}" if isinstance(error, KeyError) else error
            raise MarqueeError(
                f"cannot read the rollout journal {self.path}: {reason}; move the file to another folder"
            ) from None

    def _replay_new_entries(self) -> Rollout:
        """Replay only entries added since the last call; the controller reads the journal twice a second."""
        before = _replay_cache.get(self.path, START_OF_JOURNAL)
        with self.path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < before.offset:  # the file was replaced by a shorter one
                before = START_OF_JOURNAL
            lines = [*read_complete_lines(file, before.offset)]
        rollout = replay(_decode_entries(line for line, _ in lines), before.rollout)
        _replay_cache[self.path] = _ReplayPosition(rollout, lines[-1][1] if lines else before.offset)
        return rollout


def list_journals(folder: Path) -> list[Journal]:
    """Return the journals of all rollouts of a stack, oldest first."""
    return [Journal(path) for path in sorted((folder / JOURNALS_FOLDER).glob(f"*{JOURNAL_SUFFIX}"))]


def find_active_journal(folder: Path) -> Journal | None:
    """Return the journal of the rollout that is running on a stack, or None.

    Raises:
        MarqueeError: the latest journal cannot be read.
    """
    latest = list_journals(folder)[-1:]
    return latest[0] if latest and latest[0].read_rollout().is_running else None


def check_no_active_rollout(folder: Path) -> None:
    """Raise an error if a rollout is running on a stack.

    Raises:
        MarqueeError: a rollout is running.
    """
    if journal := find_active_journal(folder):
        raise MarqueeError(
            f"rollout {journal.read_rollout().name} is running; see it with `marquee canary status`, "
            "or end it with `marquee canary rollback`"
        )


def create_journal(folder: Path, name: str, **fields: Any) -> Journal:
    """Start a rollout by creating its journal.

    Args:
        folder: folder of the stack.
        name: name of the rollout; sorting names must sort rollouts by their start.
        **fields: fields of the first entry.

    Raises:
        MarqueeError: another rollout is running or is being started.
    """
    (folder / JOURNALS_FOLDER).mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / "rollout-start.lock", "another rollout is being started"):
        check_no_active_rollout(folder)
        return Journal.create(folder / JOURNALS_FOLDER / f"{name}{JOURNAL_SUFFIX}", name=name, **fields)


@contextmanager
def exclusive_lock(path: Path, error_message: str) -> Iterator[None]:
    """Hold a lock file within a `with` block.

    Raises:
        MarqueeError: another process holds the lock; the message is `error_message`.
    """
    try:
        descriptor = acquire_lock(path, wait=False)
    except BlockingIOError:
        raise MarqueeError(error_message) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _encode_entry(entry: str, **fields: Any) -> bytes:
    return json.dumps({"entry": entry, "time": time.time(), **fields}, allow_nan=False).encode()


def _decode_entries(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Decode entries; skip lines that are not entries, such as a line torn by a killed process."""
    entries = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "entry" in entry:
            entries.append(entry)
    return entries
