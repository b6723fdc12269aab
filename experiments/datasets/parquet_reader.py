"""Reader of Parquet files: ids of any type become strings, as in text; values and times stay numbers."""

import json
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.datasets.csv_columns import missing_column_message, repeated_column_message
from experiments.datasets.table_format import ArrowColumn, RawTable, TableFormat
from marquee.errors import DataError, one_line_message
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, WEIGHT
from marquee.interactions.raw_table_columns import LINE, PARSE_ERROR

NUMERIC_TYPES = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_timestamp)


def read_parquet(path: Path, table_format: TableFormat, optional: Collection[str]) -> RawTable:
    """Read the columns of every row; line numbers are row numbers from 1.

    Raises:
        DataError: the file cannot be read, or lacks a column that is not optional.
    """
    try:
        file = pq.ParquetFile(path)
        source_names = _source_names(path, file.schema_arrow.names, table_format, optional)
        table = file.read(columns=list(dict.fromkeys(source_names.values())))
        columns = {column: _convert(table[name], column) for column, name in source_names.items()}
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {one_line_message(error)}") from None

    def row_texts(numbers: Collection[int]) -> dict[int, str]:
        ordered = sorted(numbers)
        rows = table.take(pa.array([number - 1 for number in ordered], pa.int64())).to_pylist()
        texts = (json.dumps(row, default=str, ensure_ascii=False) for row in rows)
        return dict(zip(ordered, texts, strict=True))

    lines = pa.array(range(1, len(table) + 1), pa.int64())
    no_errors = pa.nulls(len(table), pa.string())
    return RawTable(pa.table({LINE: lines, **columns, PARSE_ERROR: no_errors}), row_texts)


def _source_names(
    path: Path, names: list[str], table_format: TableFormat, optional: Collection[str]
) -> dict[str, str]:
    """Return the name in the file of each raw column that the file contains."""
    present: dict[str, str] = {}
    for column, source_name in table_format.columns.items():
        count = names.count(source_name)
        if count > 1:
            raise DataError(repeated_column_message(path, count, column, source_name))
        if count:
            present[column] = source_name
        elif column not in optional:
            raise DataError(missing_column_message(path, names, column, table_format))
    return present


def _convert(values: ArrowColumn, column: str) -> ArrowColumn:
    """Convert a column: values and times stay numbers, others become text, missing ids become empty."""
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if column in (RATING, WEIGHT, TIMESTAMP):
        if pa.types.is_date(values.type):
            values = pc.cast(values, pa.timestamp("s"))
        is_numeric = any(is_type(values.type) for is_type in NUMERIC_TYPES)
        return values if is_numeric else pc.cast(values, pa.string())
    if pa.types.is_floating(values.type):
        values = _restore_integers(values)
    values = pc.cast(values, pa.string())
    return pc.coalesce(values, "") if column in (USER, ITEM) else values


def _restore_integers(values: ArrowColumn) -> ArrowColumn:
    """Undo pandas' conversion of integer ids with gaps to floats: 7.0 becomes 7, and NaN becomes null."""
    values = pc.if_else(pc.is_nan(values), None, values)
    has_fractions = pc.all(pc.equal(values, pc.floor(values))).as_py() is False
    return values if has_fractions else pc.cast(values, pa.int64())
