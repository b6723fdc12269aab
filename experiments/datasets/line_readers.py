"""A file of either kind -> its wanted columns, as one table: delimited text, or Parquet."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.datasets.csv_header import missing_column, positions
from experiments.datasets.csv_reader import read_cells
from experiments.datasets.encoding import survey, texts
from experiments.datasets.movielens import Layout
from marquee.errors import DataError, one_line
from marquee.interactions.matrix import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.raw_schema import FAULT, LINE

NUMERIC = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_timestamp)
NOT_TABLES = {b"PK\x03\x04": "a zip archive or a spreadsheet", b"SQLi": "a database", b"%PDF": "a PDF"}


@dataclass(frozen=True)
class Rows:
    """A file's wanted columns, and a way back to the text of its rows by their numbers."""

    cells: pa.Table
    texts: Callable[[Collection[int]], dict[int, str]]


def read_rows(path: Path, layout: Layout, optional: Collection[str]) -> Rows:
    """The wanted columns of every row of a Parquet or delimited text file.

    Raises:
        DataError: the file is empty, is no table, or lacks a column that is not optional.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == b"PAR1":
        return _parquet(path, layout, optional)
    if start in NOT_TABLES:
        raise DataError(f"{path} is {NOT_TABLES[start]}, not a table: give CSV or Parquet")
    found = survey(path, layout.encoding)
    wanted = positions(path, found.first, layout, optional)
    cells = read_cells(path, layout, wanted, found)
    return Rows(cells, lambda lines: texts(path, layout.encoding, lines))


def _parquet(path: Path, layout: Layout, optional: Collection[str]) -> Rows:
    """The wanted columns of a Parquet file; ids of any kind become text."""
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        wanted = {ours: theirs for ours, theirs in layout.columns.items() if theirs in names}
        for ours, theirs in layout.columns.items():
            if ours not in wanted and ours not in optional:
                raise DataError(missing_column(path, names, ours, theirs))
            if names.count(theirs) > 1:
                raise DataError(
                    f"{path} has {names.count(theirs)} columns called {theirs!r}: which is the {ours}?"
                )
        table = file.read(columns=list(dict.fromkeys(wanted.values())))
        cells = {ours: _column(table[theirs], ours) for ours, theirs in wanted.items()}
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {one_line(error)}") from None

    def row_texts(numbers: Collection[int]) -> dict[int, str]:
        ordered = sorted(numbers)
        rows = table.take(pa.array([number - 1 for number in ordered], pa.int64())).to_pylist()
        return {
            n: json.dumps(row, default=str, ensure_ascii=False) for n, row in zip(ordered, rows, strict=True)
        }

    lines = pa.array(range(1, len(table) + 1), pa.int64())
    return Rows(pa.table({LINE: lines, **cells, FAULT: pa.nulls(len(table), pa.string())}), row_texts)


def _column(column: Any, ours: str) -> Any:
    """A Parquet column as a text file would hold it: ids and words are text, a missing id is empty."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if ours in (RATING, TIMESTAMP):
        if pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("s"))
        return column if any(is_kind(column.type) for is_kind in NUMERIC) else pc.cast(column, pa.string())
    if pa.types.is_floating(column.type):  # as pandas makes ids with gaps: 7.0 is 7, and no number is no id
        column = pc.if_else(pc.is_nan(column), None, column)
        if pc.all(pc.equal(column, pc.floor(column))).as_py() is not False:
            column = pc.cast(column, pa.int64())
    column = pc.cast(column, pa.string())
    return pc.coalesce(column, "") if ours in (USER, ITEM) else column
