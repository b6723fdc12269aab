"""Sealing: closed segments become Parquet wherever fsspec can write, and are then removed here.

    <url>/feedback/day=2026-11-25/<replica>-<segment>.parquet

A process of its own: a sink that hangs is not felt where answers are given. The name of a file follows from
its segment, so that sealing again after a crash writes the same file, not another one. A segment is removed
when its file was read back from the sink. Lines that are no events are kept beside the segments, in `.torn`.
"""

import logging
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

from marquee.errors import SealingError
from marquee.events import Event, Exposure, Feedback
from service.telemetry.reader import SetAside, read_segment, segments_of
from service.telemetry.segments import CLOSED, close_abandoned

log = logging.getLogger("marquee.sealing")
ROWS = 20_000  # in memory at a time
TORN = ".torn"
_COLUMNS: dict[str, Any] = {
    "time": pa.float64(),
    "value": pa.float64(),
    "latency_us": pa.int64(),
    "items": pa.list_(pa.string()),
}  # any other field is text
KINDS: dict[str, type[Event]] = {"exposure": Exposure, "feedback": Feedback}


@dataclass(frozen=True)
class Sealed:
    """What a round did."""

    segments: int
    events: int
    set_aside: int
    expired: int  # files removed, being older than they are kept


class Sink:
    """Where sealed events lie."""

    def __init__(self, url: str) -> None:
        """Open it.

        Raises:
            SealingError: there is no such kind of place.
        """
        try:
            self.files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise SealingError(f"{url} is no place to seal events in: {error}") from None

    def put(self, local: Path, name: str) -> None:
        """Copy a file there under a name, and read back that it is whole.

        Raises:
            OSError: it is not there as it was sent.
        """
        path = f"{self._root}/{name}"
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        part = f"{path}.part"
        self.files.put_file(str(local), part)
        self.files.mv(part, path)
        with self.files.open(path, "rb") as there:
            rows = pq.ParquetFile(there).metadata.num_rows
        if rows != pq.ParquetFile(local).metadata.num_rows or self.files.size(path) != local.stat().st_size:
            raise OSError(f"{path} is not what was sent")

    def names(self, kind: str) -> list[str]:
        """The sealed files of a kind of event, oldest day first."""
        found: list[str] = self.files.glob(f"{self._root}/{kind}/day=*/*.parquet")
        return sorted(found)

    def expire(self, keep_days: int, today: datetime) -> int:
        """Remove what is older than so many days; how many files."""
        oldest = (today - timedelta(days=keep_days)).strftime("day=%Y-%m-%d")
        old = [name for kind in KINDS for name in self.names(kind) if name.split("/")[-2] < oldest]
        for name in old:
            self.files.rm_file(name)
        return len(old)


def seal(folder: Path, sink: Sink, *, keep_days: int | None = None, before: float = math.inf) -> Sealed:
    """Seal every closed segment below a folder, and those that dead processes left open.

    Args:
        folder: holds a folder for each replica.
        sink: where they go.
        keep_days: what is older is removed there; None: nothing.
        before: a segment that was written to after it, in UTC seconds, is left for its readers.

    Raises:
        SealingError: the sink cannot be written; what was not sealed is still here.
    """
    close_abandoned(folder)
    aside, events = SetAside(), 0
    segments = [path for path in segments_of(folder, opened=False) if path.stat().st_mtime < before]
    try:
        for path in segments:
            events += _seal_one(path, sink, aside)
        expired = 0 if keep_days is None else sink.expire(keep_days, datetime.now(UTC))
    except Exception as error:  # each kind of file system has errors of its own
        reason = str(error) or type(error).__name__
        raise SealingError(f"{folder} cannot be sealed now ({reason}): what is left stays here") from error
    return Sealed(len(segments), events, aside.torn + aside.foreign, expired)


def read_sealed(url: str) -> Iterator[Event]:
    """The events that were sealed, as they were."""
    sink = Sink(url)
    for kind, event in KINDS.items():
        for name in sink.names(kind):
            with sink.files.open(name, "rb") as file:
                for batch in pq.ParquetFile(file).iter_batches(ROWS):
                    yield from (_event(event, row) for row in batch.to_pylist())


def _seal_one(path: Path, sink: Sink, aside: SetAside) -> int:
    """One segment, a piece at a time; how many events it has."""
    kind = path.name.split("-")[0]
    torn = path.with_name(path.name + TORN)
    with tempfile.TemporaryDirectory(prefix="marquee-seal-") as scratch:
        local = Path(scratch) / "events.parquet"
        count = 0
        with (
            pq.ParquetWriter(local, _schema(KINDS[kind]), compression="zstd") as writer,
            torn.open("wb") as rest,
        ):
            read = read_segment(path, aside)
            while lines := list(islice(read, ROWS)):
                rows = [asdict(event) for _, event in lines if isinstance(event, KINDS[kind])]
                writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))
                rest.writelines(line for line, event in lines if not isinstance(event, KINDS[kind]))
                count += len(rows)
        if count:
            sink.put(local, _name(path))
    if not torn.stat().st_size:
        torn.unlink()
    path.unlink()
    return count


def _name(path: Path) -> str:
    """Where a segment goes: the day is that of its beginning."""
    kind, started, number = path.name.removesuffix(CLOSED).split("-")
    day = datetime.fromtimestamp(int(started) / 1000, UTC).strftime("%Y-%m-%d")
    return f"{kind}/day={day}/{path.parent.name}-{started}-{number}.parquet"


def _schema(kind: type[Event]) -> Any:
    return pa.schema([(field.name, _COLUMNS.get(field.name, pa.string())) for field in fields(kind)])


def _event(kind: type[Event], row: dict[str, Any]) -> Event:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
    }
    return kind(**values)
