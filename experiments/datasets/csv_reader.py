"""A delimited file -> the text of its wanted cells, each row with the number of its line.

    line (int64) | one column a wanted name (str) | fault (str: why the line is no row, else null)

Arrow splits the file where lines are rows. Where a quoted field holds line ends, or a quote is never
closed, Arrow finds fewer rows than there are lines: then Python's reader goes record by record, twenty
times as slowly, so that an open quote costs its own line and not those behind it.
"""

import csv
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from experiments.datasets.csv_header import STAND_IN, split
from experiments.datasets.encoding import Survey, numbered, opened
from experiments.datasets.movielens import Layout
from marquee.errors import DataError, one_line
from marquee.interactions.raw_schema import FAULT, LINE

BLOCK = 4 << 20
BATCH = 1 << 17
LONGEST_RECORD = 100  # lines; past them the quote counts as never closed
UNCLOSED = "a quotation mark is never closed"


def read_cells(path: Path, layout: Layout, wanted: Mapping[str, int], found: Survey) -> pa.Table:
    """The wanted columns (name -> position) of every row, in file order.

    Raises:
        DataError: the file cannot be split into rows.
    """
    width = len(split(found.first, layout.separator, quoted=layout.quoted))
    quoted = layout.quoted and found.quotes > 0
    try:
        rows, refused = _by_line(path, layout, wanted, width, quote='"' if quoted else False)
    except pa.ArrowInvalid as error:
        if not quoted:
            raise DataError(f"{path} cannot be split into rows: {one_line(error)}") from None
        rows, refused = None, {}
    as_lines = rows is not None and rows.num_rows + len(refused) == found.lines - int(layout.header)
    if not quoted or (as_lines and found.quotes % 2 == 0):
        return _numbered(rows, refused, 1 + int(layout.header))
    return pa.concat_tables(list(_by_record(path, layout, wanted, width)))


def _by_line(
    path: Path, layout: Layout, wanted: Mapping[str, int], width: int, *, quote: str | bool
) -> tuple[pa.Table, dict[int, str]]:
    """Arrow's reader, one thread: only then does it number the lines that it refuses."""
    refused: dict[int, str] = {}

    def refuse(row: Any) -> str:
        refused[row.number] = f"{row.actual_columns} fields instead of {row.expected_columns}"
        return "skip"

    separator = layout.separator.encode(layout.encoding)
    names = [str(n) for n in range(width)]
    order = [names[at] for at in wanted.values()]
    with opened(path) as stream:
        reader = pa.csv.open_csv(
            stream if len(separator) == 1 else pa.PythonFile(_Narrowed(stream, separator), mode="r"),
            pa.csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=names,
                skip_rows=int(layout.header), encoding=layout.encoding,
            ),
            pa.csv.ParseOptions(
                delimiter=separator.decode() if len(separator) == 1 else STAND_IN,
                quote_char=quote, invalid_row_handler=refuse, ignore_empty_lines=False,
            ),
            pa.csv.ConvertOptions(
                include_columns=list(dict.fromkeys(order)), column_types=dict.fromkeys(names, pa.string())
            ),
        )  # fmt: skip
        rows = pa.Table.from_batches(list(reader), reader.schema)
    return pa.table([rows[name] for name in order], names=list(wanted)), refused


def _numbered(rows: pa.Table, refused: Mapping[int, str], first: int) -> pa.Table:
    """Give each row its line, and put the refused lines back in their places."""
    lines = np.arange(first, first + rows.num_rows + len(refused))
    refused_lines = np.fromiter(sorted(refused), np.int64, len(refused))
    good = np.delete(lines, refused_lines - first)
    table = _table(good, rows.columns, pa.nulls(rows.num_rows, pa.string()), rows.column_names)
    if not refused:
        return table
    empty = [pa.nulls(len(refused), pa.string())] * rows.num_columns
    faults = pa.array([refused[number] for number in refused_lines.tolist()], pa.string())
    table = pa.concat_tables([table, _table(refused_lines, empty, faults, rows.column_names)])
    return table.take(np.argsort(np.concatenate([good, refused_lines]), kind="stable"))


def _table(lines: Any, columns: list[Any], faults: Any, names: list[str]) -> pa.Table:
    return pa.table([pa.array(lines, pa.int64()), *columns, faults], names=[LINE, *names, FAULT])


def _by_record(path: Path, layout: Layout, wanted: Mapping[str, int], width: int) -> Iterator[pa.Table]:
    """Python's reader, in batches; at least one, so that there is always a table."""
    records = _records(numbered(path, layout.encoding), layout.separator)
    if layout.header:
        next(records)
    while True:
        lines, faults = [], []
        columns: list[list[str | None]] = [[] for _ in wanted]
        for line, fields in records:
            whole = fields is not None and len(fields) == width
            lines.append(line)
            faults.append(None if whole else _fault(fields, width))
            for column, at in zip(columns, wanted.values(), strict=True):
                column.append(fields[at] if fields is not None and whole else None)
            if len(lines) == BATCH:
                break
        yield _table(
            lines, [pa.array(c, pa.string()) for c in columns], pa.array(faults, pa.string()), list(wanted)
        )
        if len(lines) < BATCH:
            return


def _fault(fields: list[str] | None, width: int) -> str:
    return UNCLOSED if fields is None else f"{len(fields)} fields instead of {width}"


def _records(lines: Iterator[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str] | None]]:
    """Line number and fields of each record; None where a quote is open for too long."""
    ahead: deque[tuple[int, str]] = deque()

    def pull() -> tuple[int, str] | None:
        return ahead.popleft() if ahead else next(lines, None)

    while (line := pull()) is not None:
        taken = [line]
        fields = _fields([line[1]], separator)
        while fields is None and len(taken) < LONGEST_RECORD and (more := pull()) is not None:
            taken.append(more)
            fields = _fields([text for _, text in taken], separator)
        if fields is None:
            ahead.extendleft(reversed(taken[1:]))
        yield line[0], fields


def _fields(lines: list[str], separator: str) -> list[str] | None:
    """The fields of one record; None where its quote is still open behind the last line."""
    if len(separator) > 1:
        lines, separator = [line.replace(separator, STAND_IN) for line in lines], STAND_IN
    whole = [*(line + "\n" for line in lines[:-1]), lines[-1]]
    reader = csv.reader(
        [*whole, ""], delimiter=separator, strict=True
    )  # one more: read only in an open quote
    try:
        return next(reader, [])
    except csv.Error:
        if len(lines) > 1 or reader.line_num > len(whole):
            return None
    try:
        return next(csv.reader(whole, delimiter=separator), [])
    except csv.Error:
        return []


class _Narrowed:
    """A stream in which a separator of several bytes is one byte, STAND_IN."""

    closed = False

    def __init__(self, stream: IO[bytes], separator: bytes) -> None:
        self._stream = stream
        self._separator = separator
        self._carry = b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; what may be the start of a separator waits for the next."""
        while True:
            block = self._stream.read(size)
            *settled, last = (self._carry + block).split(self._separator)
            keep = min(len(last), len(self._separator) - 1) if block else 0
            self._carry = last[len(last) - keep :]
            out = STAND_IN.encode().join([*settled, last[: len(last) - keep]])
            if out or not block:
                return out

    def close(self) -> None:
        """The stream's owner closes it."""
