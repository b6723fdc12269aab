"""Reader of delimited text: returns columns of text, each row with its line number.

PyArrow reads the file if every line is one row. If a quoted field contains line ends, or a quotation mark is
never closed, PyArrow finds fewer rows than lines; then Python's csv module reads the file record by record.
That is about twenty times slower, but an unclosed quotation mark spoils only its own line.
"""

import csv
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from experiments.datasets.csv_columns import SUBSTITUTE_SEPARATOR, find_column_positions, split_fields
from experiments.datasets.table_format import ArrowColumn, RawTable, TableFormat
from experiments.datasets.text_lines import (
    TextFileStats,
    iter_numbered_lines,
    open_decompressed,
    read_lines_by_number,
    validate_and_count_lines,
)
from marquee.errors import DataError, one_line_message
from marquee.interactions.raw_table_columns import LINE, PARSE_ERROR

BLOCK_BYTES = 4 << 20
ROWS_PER_BATCH = 1 << 17
MAX_RECORD_LINES = 100  # a quotation mark that is open for longer counts as never closed


class _Record(NamedTuple):
    """Fields of one record, which may span several lines, and the number of its first line."""

    line: int
    fields: list[str] | None  # None: a quotation mark is never closed


def read_csv(path: Path, table_format: TableFormat, optional: Collection[str]) -> RawTable:
    """Read the columns of every row of a delimited text file, plain or gzip.

    Raises:
        ConfigError: the file has no header and a column is not given by its number.
        DataError: the file is empty, damaged or not text, or lacks a column that is not optional.
    """
    stats = validate_and_count_lines(path, table_format.encoding)
    positions = find_column_positions(path, stats.first_line, table_format, optional)
    columns = read_csv_columns(path, table_format, positions, stats)
    return RawTable(columns, partial(read_lines_by_number, path, table_format.encoding))


def read_csv_columns(
    path: Path, table_format: TableFormat, positions: Mapping[str, int], stats: TextFileStats
) -> pa.Table:
    """Read the columns at the given positions (by raw column name) of every row, in file order.

    Returns:
        line (int64), the columns (str), and parse_error (str): the reason if a line is not a row, else null.

    Raises:
        DataError: the file cannot be split into rows.
    """
    n_fields = len(split_fields(stats.first_line, table_format.separator, quoted=table_format.quoted))
    quoted = table_format.quoted and stats.n_quotes > 0
    n_header_lines = int(table_format.header)
    try:
        rows, rejected = _read_with_arrow(path, table_format, positions, n_fields, quoted=quoted)
    except pa.ArrowInvalid as error:
        if not quoted:
            raise DataError(f"{path} cannot be split into rows: {one_line_message(error)}") from None
    else:
        one_row_per_line = rows.num_rows + len(rejected) == stats.n_lines - n_header_lines
        if not quoted or (one_row_per_line and stats.n_quotes % 2 == 0):
            return _number_lines(rows, rejected, first_line=1 + n_header_lines)
    return pa.concat_tables(list(_read_with_python(path, table_format, positions, n_fields)))


def _read_with_arrow(
    path: Path, table_format: TableFormat, positions: Mapping[str, int], n_fields: int, *, quoted: bool
) -> tuple[pa.Table, dict[int, str]]:
    """Return the rows, and the parse error of each rejected line by line number."""
    rejected: dict[int, str] = {}

    def reject(row: Any) -> str:
        rejected[row.number] = _field_count_error(row.expected_columns, row.actual_columns)
        return "skip"

    separator = table_format.separator.encode(table_format.encoding)
    is_single_byte = len(separator) == 1
    names = [str(number) for number in range(n_fields)]
    selected = [names[position] for position in positions.values()]
    with open_decompressed(path) as stream:
        reader = pa.csv.open_csv(
            stream if is_single_byte else pa.PythonFile(_SubstitutingStream(stream, separator), mode="r"),
            pa.csv.ReadOptions(
                use_threads=False,  # with threads, rejected lines have no numbers
                block_size=BLOCK_BYTES, column_names=names, skip_rows=int(table_format.header),
                encoding=table_format.encoding,
            ),
            pa.csv.ParseOptions(
                delimiter=separator.decode() if is_single_byte else SUBSTITUTE_SEPARATOR,
                quote_char='"' if quoted else False, invalid_row_handler=reject, ignore_empty_lines=False,
            ),
            pa.csv.ConvertOptions(
                include_columns=list(dict.fromkeys(selected)), column_types=dict.fromkeys(names, pa.string())
            ),
        )  # fmt: skip
        rows = pa.Table.from_batches(list(reader), reader.schema)
    return pa.table([rows[name] for name in selected], names=list(positions)), rejected


def _number_lines(rows: pa.Table, rejected: Mapping[int, str], first_line: int) -> pa.Table:
    """Add the line number of each row, and put rejected lines back in their places."""
    lines = np.arange(first_line, first_line + rows.num_rows + len(rejected))
    rejected_lines = np.fromiter(sorted(rejected), np.int64, len(rejected))
    row_lines = np.delete(lines, rejected_lines - first_line)
    table = _raw_columns(row_lines, rows.columns, pa.nulls(rows.num_rows, pa.string()), rows.column_names)
    if not rejected:
        return table
    empty = [pa.nulls(len(rejected), pa.string())] * rows.num_columns
    errors = pa.array([rejected[number] for number in rejected_lines.tolist()], pa.string())
    table = pa.concat_tables([table, _raw_columns(rejected_lines, empty, errors, rows.column_names)])
    return table.take(np.argsort(np.concatenate([row_lines, rejected_lines]), kind="stable"))


def _raw_columns(lines: Any, columns: list[ArrowColumn], errors: ArrowColumn, names: list[str]) -> pa.Table:
    return pa.table([pa.array(lines, pa.int64()), *columns, errors], names=[LINE, *names, PARSE_ERROR])


def _read_with_python(
    path: Path, table_format: TableFormat, positions: Mapping[str, int], n_fields: int
) -> Iterator[pa.Table]:
    """Yield the rows in batches: at least one batch, which may be empty."""
    records = _split_records(iter_numbered_lines(path, table_format.encoding), table_format.separator)
    if table_format.header:
        next(records)
    while True:
        batch = list(islice(records, ROWS_PER_BATCH))
        yield _batch_columns(batch, positions, n_fields)
        if len(batch) < ROWS_PER_BATCH:
            return


def _batch_columns(batch: list[_Record], positions: Mapping[str, int], n_fields: int) -> pa.Table:
    lines, errors = [], []
    columns: list[list[str | None]] = [[] for _ in positions]
    for record in batch:
        error = _parse_error(record.fields, n_fields)
        lines.append(record.line)
        errors.append(error)
        fields = None if error else record.fields
        for column, position in zip(columns, positions.values(), strict=True):
            column.append(fields[position] if fields else None)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return _raw_columns(lines, arrays, pa.array(errors, pa.string()), list(positions))


def _parse_error(fields: list[str] | None, n_fields: int) -> str | None:
    """Return the reason why the fields of a record are not a row, or None."""
    if fields is None:
        return "a quotation mark is never closed"
    return None if len(fields) == n_fields else _field_count_error(n_fields, len(fields))


def _field_count_error(expected: int, actual: int) -> str:
    return f"expected {expected} fields, got {actual}"


def _split_records(lines: Iterator[tuple[int, str]], separator: str) -> Iterator[_Record]:
    """Split numbered lines into records; an unclosed quotation mark spoils only its own line."""
    unread: deque[tuple[int, str]] = deque()

    def next_line() -> tuple[int, str] | None:
        return unread.popleft() if unread else next(lines, None)

    while (first := next_line()) is not None:
        number, text = first
        following: list[tuple[int, str]] = []
        fields = _split_record([text], separator)
        while fields is None and len(following) < MAX_RECORD_LINES - 1 and (line := next_line()) is not None:
            following.append(line)
            fields = _split_record([text, *(text for _, text in following)], separator)
        if fields is None:
            unread.extendleft(reversed(following))  # these lines are records of their own
        yield _Record(number, fields)


def _split_record(lines: list[str], separator: str) -> list[str] | None:
    """Return the fields of one record; None if a quotation mark is still open after the last line."""
    if len(separator) > 1:
        lines = [line.replace(separator, SUBSTITUTE_SEPARATOR) for line in lines]
        separator = SUBSTITUTE_SEPARATOR
    record = [*(line + "\n" for line in lines[:-1]), lines[-1]]
    # The csv module reads the extra line only if a quotation mark is still open.
    reader = csv.reader([*record, ""], delimiter=separator, strict=True)
    try:
        return next(reader, [])
    except csv.Error:
        if len(lines) > 1 or reader.line_num > len(record):
            return None
    try:
        return next(csv.reader(record, delimiter=separator), [])
    except csv.Error:  # a field longer than csv.field_size_limit()
        return []


class _SubstitutingStream:
    """Byte stream with SUBSTITUTE_SEPARATOR in place of a separator of several bytes."""

    closed = False  # attribute that pa.PythonFile requires

    def __init__(self, stream: IO[bytes], separator: bytes) -> None:
        self._stream = stream
        self._separator = separator
        self._held_back = b""

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; hold back what may be the start of a separator."""
        while True:
            block = self._stream.read(size)
            *complete, last = (self._held_back + block).split(self._separator)
            n_held_back = min(len(last), len(self._separator) - 1) if block else 0
            self._held_back = last[len(last) - n_held_back :]
            output = SUBSTITUTE_SEPARATOR.encode().join([*complete, last[: len(last) - n_held_back]])
            if output or not block:
                return output

    def close(self) -> None:
        """Do nothing; the owner of the underlying stream closes it."""
