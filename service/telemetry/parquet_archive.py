"""Archive: converts closed segment files to Parquet files at any fsspec URL, then deletes them.

    <url>/feedback/day=2026-11-25/<replica>-<started>-<number>.parquet

Archiving runs in a separate process, so a slow bucket cannot delay responses. The name of a Parquet file is
derived from its segment file, so archiving again after a crash overwrites that file and duplicates no event.
A segment file is deleted once its Parquet file has been read back. Lines that are not events are kept in
`.torn` files.
"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from marquee.errors import ArchiveError
from marquee.events import Event, Exposure, Feedback, rename_old_fields
from service.telemetry.reader import SkippedLines, list_segments, read_segment
from service.telemetry.segment_files import CLOSED_SUFFIX, close_abandoned_segments

ROWS_PER_BATCH = 20_000
TORN_SUFFIX = ".torn"
EVENT_TYPES: dict[str, type[Event]] = {"exposure": Exposure, "feedback": Feedback}
_COLUMN_TYPES: dict[str, pa.DataType] = {
    "time": pa.float64(),
    "value": pa.float64(),
    "latency_us": pa.int64(),
    "items": pa.list_(pa.string()),
}  # all other fields are strings


@dataclass(frozen=True)
class ArchiveSummary:
    """Result of `archive_segments`."""

    segments: int  # archived segment files
    events: int
    skipped_lines: int
    expired_files: int  # archived files that were deleted because of their age


class ArchiveStore:
    """Folder or bucket that contains the archived events."""

    def __init__(self, url: str) -> None:
        """Open an fsspec URL, such as a local path or `s3://bucket/events`.

        Raises:
            ArchiveError: the protocol of the URL is unknown or its package is not installed.
        """
        try:
            self.filesystem, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ArchiveError(f"cannot archive events to {url}: {error}") from None

    def upload_and_verify(self, local: Path, name: str) -> None:
        """Copy a Parquet file to the store and read it back.

        Raises:
            OSError: the stored file differs from the local one, or the store cannot be written.
        """
        path = f"{self._root}/{name}"
        self.filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        incomplete = f"{path}.part"
        self.filesystem.put_file(str(local), incomplete)
        self.filesystem.mv(incomplete, path)
        with self.filesystem.open(path, "rb") as file:
            n_rows = pq.ParquetFile(file).metadata.num_rows
        if (
            n_rows != pq.ParquetFile(local).metadata.num_rows
            or self.filesystem.size(path) != local.stat().st_size
        ):
            raise OSError(f"{path} differs from the uploaded file")

    def list_files(self, kind: str) -> list[str]:
        """Return the paths of the archived files of a kind of event, oldest day first."""
        paths: list[str] = self.filesystem.glob(f"{self._root}/{kind}/day=*/*.parquet")
        return sorted(paths)

    def delete_expired(self, keep_days: int, today: datetime) -> int:
        """Delete files whose day is more than `keep_days` before `today`, and return their number."""
        oldest_day = (today - timedelta(days=keep_days)).strftime("day=%Y-%m-%d")
        paths = [path for kind in EVENT_TYPES for path in self.list_files(kind)]
        expired = [path for path in paths if path.split("/")[-2] < oldest_day]
        for path in expired:
            self.filesystem.rm_file(path)
        return len(expired)


def archive_segments(
    folder: Path, store: ArchiveStore, *, keep_days: int | None = None, before: float = math.inf
) -> ArchiveSummary:
    """Archive all closed segment files below a folder, including those that dead processes left open.

    Args:
        folder: contains a folder for each replica.
        store: destination.
        keep_days: delete archived files older than this number of days; None keeps all.
        before: UTC seconds; segment files last written at or after this time are not archived yet, because a
            rollout may still read them.

    Raises:
        ArchiveError: the store cannot be written. Segment files that are not archived are kept.
    """
    close_abandoned_segments(folder)
    skipped, n_events = SkippedLines(), 0
    segments = [path for path in list_segments(folder, include_open=False) if path.stat().st_mtime < before]
    try:
        for path in segments:
            n_events += _archive_segment(path, store, skipped)
        expired = 0 if keep_days is None else store.delete_expired(keep_days, datetime.now(UTC))
    except Exception as error:  # each fsspec file system raises its own types of errors
        reason = str(error) or type(error).__name__
        raise ArchiveError(f"cannot archive {folder}: {reason}; remaining segment files are kept") from error
    return ArchiveSummary(len(segments), n_events, skipped.total, expired)


def read_archive(url: str) -> Iterator[Event]:
    """Yield all archived events, exposures first."""
    store = ArchiveStore(url)
    for kind, event_type in EVENT_TYPES.items():
        for path in store.list_files(kind):
            with store.filesystem.open(path, "rb") as file:
                for batch in pq.ParquetFile(file).iter_batches(ROWS_PER_BATCH):
                    yield from (_event_from_row(event_type, row) for row in batch.to_pylist())


def _archive_segment(path: Path, store: ArchiveStore, skipped: SkippedLines) -> int:
    """Archive one segment file and delete it; return its number of events."""
    torn = path.with_name(path.name + TORN_SUFFIX)
    with tempfile.TemporaryDirectory(prefix="marquee-archive-") as scratch:
        parquet = Path(scratch) / "events.parquet"
        n_events = _convert_segment(path, parquet, torn, skipped)
        if n_events:
            store.upload_and_verify(parquet, _archive_name(path))
    if not torn.stat().st_size:
        torn.unlink()
    path.unlink()
    return n_events


def _convert_segment(path: Path, parquet: Path, torn: Path, skipped: SkippedLines) -> int:
    """Write a segment's events to `parquet`, all other lines to `torn`; return the number of events."""
    event_type = EVENT_TYPES[path.name.split("-")[0]]
    n_events = 0
    with (
        pq.ParquetWriter(parquet, _schema(event_type), compression="zstd") as writer,
        torn.open("wb") as torn_file,
    ):
        lines = read_segment(path, skipped)
        while batch := list(islice(lines, ROWS_PER_BATCH)):
            rows = [asdict(event) for _, event in batch if isinstance(event, event_type)]
            writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))
            torn_file.writelines(line for line, event in batch if not isinstance(event, event_type))
            n_events += len(rows)
    return n_events


def _archive_name(path: Path) -> str:
    """Return the name of the Parquet file for a segment file; its day is that of the segment's start."""
    kind, started_ms, number = path.name.removesuffix(CLOSED_SUFFIX).split("-")
    day = datetime.fromtimestamp(int(started_ms) / 1000, UTC).strftime("%Y-%m-%d")
    return f"{kind}/day={day}/{path.parent.name}-{started_ms}-{number}.parquet"


def _schema(event_type: type[Event]) -> pa.Schema:
    return pa.schema(
        [(field.name, _COLUMN_TYPES.get(field.name, pa.string())) for field in fields(event_type)]
    )


def _event_from_row(event_type: type[Event], row: dict[str, Any]) -> Event:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in rename_old_fields(row).items()  # the file may be older than schema version 2
    }
    return event_type(**values)
