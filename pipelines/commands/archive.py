"""`marquee archive`: archive the events of all replicas, once or periodically."""

import math
import time
from pathlib import Path

from rich.markup import escape

from marquee.errors import ArchiveError
from pipelines.rollout.journal import find_active_journal
from pipelines.support.console import create_console
from pipelines.support.paths import STACK_FOLDER
from service.telemetry.parquet_archive import ArchiveStore, ArchiveSummary, archive_segments


def archive_events(folder: Path, url: str, *, every: float | None, keep_days: int | None) -> None:
    """Archive closed segment files and print a summary.

    Args:
        folder: folder of the segment files.
        url: folder or fsspec URL of the archive.
        every: seconds between two rounds, which repeat until interrupted; None archives once.
        keep_days: delete archived events that are older; None keeps all.

    Raises:
        ArchiveError: the archive cannot be written. With `every`, the error is printed and the next round
            tries again.
    """
    store, console = ArchiveStore(url), create_console()
    while True:
        try:
            summary = archive_segments(folder, store, keep_days=keep_days, before=_read_rollout_start())
        except ArchiveError as error:
            if every is None:
                raise
            console.print(f"[red]{escape(str(error))}[/]; next attempt in {every:g} s")
        else:
            console.print(_format_summary(summary, url), markup=False)
        if every is None:
            return
        time.sleep(every)


def _read_rollout_start() -> float:
    """Return the start of the current rollout, or infinity; its controller may reread all later events."""
    journal = find_active_journal(STACK_FOLDER.resolve())
    return math.inf if journal is None else journal.read_rollout().started_at


def _format_summary(summary: ArchiveSummary, url: str) -> str:
    text = f"Archived {summary.events} events from {summary.segments} segment files in {url}"
    if summary.skipped_lines:
        text += f", {summary.skipped_lines} unreadable lines set aside"
    if summary.expired_files:
        text += f", {summary.expired_files} old files deleted"
    return text
