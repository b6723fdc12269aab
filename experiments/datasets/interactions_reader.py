"""Reader of the interactions of any source: returns the raw table, before validation and without blank lines.

Its columns are listed in `marquee.interactions.raw_table_columns`. Rows that cannot be read are marked, not
dropped.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from experiments.config.offline import DataParams, FileParams
from experiments.datasets.csv_reader import read_csv
from experiments.datasets.movielens import RELEASES
from experiments.datasets.parquet_reader import read_parquet
from experiments.datasets.table_format import ArrowColumn, RawTable, TableFormat
from experiments.datasets.value_columns import ValueColumns
from marquee.errors import ConfigError, DataError
from marquee.interactions.columns import GENRES, ITEM, RATING, TIMESTAMP, TITLE, USER, WEIGHT
from marquee.interactions.raw_table_columns import EVENT, LINE, PARSE_ERROR, RAW, TEXT_COLUMNS, TIMESTAMP_TEXT

log = logging.getLogger(__name__)

PARQUET_MAGIC = b"PAR1"
OTHER_FILE_TYPES = {b"PK\x03\x04": "a zip archive or a spreadsheet", b"SQLi": "a database", b"%PDF": "a PDF"}
NUMBER_PATTERN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
INFINITY_PATTERN = r"^[+-]?(?i:inf|infinity)$"
UNITS_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class SourceFormats:
    """Formats of the two tables of a source."""

    interactions: TableFormat
    items: TableFormat


@dataclass(frozen=True)
class ParsedNumbers:
    """Numbers parsed from a column, and the text of the cells that are not numbers."""

    values: ArrowColumn  # float64, null or NaN if the cell is not a number
    invalid_texts: ArrowColumn  # str, the text if the cell is not a number, else null


def choose_table_formats(data: DataParams, values: ValueColumns) -> SourceFormats:
    """Return the formats of the two tables of the configured source.

    Raises:
        ConfigError: data.file.separator contains a quotation mark, a line end or NUL.
    """
    if data.source == "demo":
        interactions = _same_name_format(USER, ITEM, *values.columns, TIMESTAMP)
        return SourceFormats(interactions, _same_name_format(ITEM, TITLE, GENRES))
    if data.source == "file":
        names = data.file.columns
        columns = {USER: names.user, ITEM: names.item, **values.columns, TIMESTAMP: names.timestamp}
        items = data.file.item_columns.model_dump()
        return SourceFormats(_file_format(data.file, columns), _file_format(data.file, items))
    release = RELEASES[data.source]
    ids = {name: release.interactions.columns[name] for name in (USER, ITEM, TIMESTAMP)}
    columns_read = {**ids, **values.columns}
    return SourceFormats(replace(release.interactions, columns=columns_read), release.items)


def read_table(path: Path, table_format: TableFormat, optional: Collection[str]) -> RawTable:
    """Read the columns of every row of a delimited text file or a Parquet file.

    Args:
        path: the file; its format is detected from its content, not from its name.
        table_format: the columns, and the format if it is text.
        optional: raw column names that the file may lack.

    Raises:
        ConfigError: the file has no header and a column is not given by its number.
        DataError: the file is empty, is not a table, or lacks a column that is not optional.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic in OTHER_FILE_TYPES:
        raise DataError(f"{path} is {OTHER_FILE_TYPES[magic]}, not a table; convert it to CSV or Parquet")
    if magic == PARQUET_MAGIC:
        return read_parquet(path, table_format, optional)
    return read_csv(path, table_format, optional)


def read_interactions(path: Path, table_format: TableFormat) -> pa.Table:
    """Read every row of an interactions file into the raw table.

    Raises:
        ConfigError: the file has no header and a column is not given by its number.
        DataError: the file is empty, is not a table, or lacks a column.
    """
    table = read_table(path, table_format, optional={TIMESTAMP})
    columns = table.columns
    raw = columns.select([LINE, USER, ITEM, PARSE_ERROR])
    for name in (RATING, WEIGHT):
        if name in columns.column_names:
            raw = _append_numbers(raw, name, parse_numbers(columns[name]))
    if EVENT in columns.column_names:
        raw = raw.append_column(EVENT, pc.utf8_trim_whitespace(columns[EVENT]))
    raw = _append_numbers(raw, TIMESTAMP, _parse_timestamps(path, columns, table_format.timestamp_unit))
    raw = _drop_blank_lines(path, _add_row_texts(raw, table))
    if raw.num_rows == 0:
        raise DataError(
            f"{path} contains no interactions{' below its header' if table_format.header else ''}"
        )
    return raw


def parse_numbers(column: ArrowColumn) -> ParsedNumbers:
    """Parse a column of text, numbers or times; times become UTC seconds.

    Blanks around a number are ignored. An empty cell is null in both columns of the result.
    """
    if pa.types.is_timestamp(column.type):
        ticks = pc.cast(pc.cast(column, pa.int64()), pa.float64())
        column = pc.divide(ticks, UNITS_PER_SECOND[column.type.unit])
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        values = pc.cast(column, pa.float64(), safe=False)
        return ParsedNumbers(values, pa.nulls(len(column), pa.string()))
    try:
        values = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return _parse_mixed(pc.cast(column, pa.string()))
    return ParsedNumbers(values, pc.if_else(pc.is_nan(values), column, pa.scalar(None, column.type)))


def _parse_timestamps(path: Path, columns: pa.Table, unit: str) -> ParsedNumbers:
    """Return the times in UTC seconds; all are null if the file has none."""
    if TIMESTAMP not in columns.column_names:
        log.info("%s has no timestamps", path)
        return ParsedNumbers(pa.nulls(len(columns), pa.float64()), pa.nulls(len(columns), pa.string()))
    column = columns[TIMESTAMP]
    parsed = parse_numbers(column)
    if unit == "s" or pa.types.is_timestamp(column.type):
        return parsed
    return replace(parsed, values=pc.divide(parsed.values, UNITS_PER_SECOND[unit]))


def _append_numbers(raw: pa.Table, name: str, numbers: ParsedNumbers) -> pa.Table:
    """Add the columns of the numbers and of the cells that are not numbers."""
    return raw.append_column(name, numbers.values).append_column(TEXT_COLUMNS[name], numbers.invalid_texts)


def _parse_mixed(column: ArrowColumn) -> ParsedNumbers:
    """Parse a column of text in which some cells are not numbers."""
    trimmed = pc.utf8_trim_whitespace(column)
    is_number = pc.or_(
        pc.match_substring_regex(trimmed, NUMBER_PATTERN), pc.match_substring_regex(trimmed, INFINITY_PATTERN)
    )
    null = pa.scalar(None, pa.string())
    values = pc.cast(pc.if_else(is_number, trimmed, null), pa.float64())
    is_invalid = pc.and_(pc.invert(is_number), pc.not_equal(trimmed, ""))
    return ParsedNumbers(values, pc.if_else(is_invalid, column, null))


def _same_name_format(*columns: str) -> TableFormat:
    return TableFormat({column: column for column in columns})


def _file_format(file: FileParams, columns: dict[str, str | None]) -> TableFormat:
    separator = file.separator.replace(r"\t", "\t")
    if set(separator) & set('"\r\n\0'):
        raise ConfigError(
            f"data.file.separator must not contain a quotation mark, a line end or NUL (got {separator!r})"
        )
    named = {column: source_name for column, source_name in columns.items() if source_name is not None}
    return TableFormat(named, separator, header=file.header, timestamp_unit=file.timestamp_unit)


def _add_row_texts(raw: pa.Table, table: RawTable) -> pa.Table:
    """Add a column with the text of each row that could not be read completely, else null."""
    incomplete = pc.or_(pc.is_valid(raw[PARSE_ERROR]), pc.is_valid(raw[TIMESTAMP_TEXT]))
    for name in (RATING, WEIGHT):
        if name in raw.column_names:
            has_value = pc.fill_null(pc.is_finite(raw[name]), fill_value=False)
            incomplete = pc.or_(incomplete, pc.invert(has_value))
    texts = pa.nulls(len(raw), pa.string())
    if pc.any(incomplete).as_py():
        lines = raw[LINE].filter(incomplete).to_pylist()
        text_of_line = table.row_texts(lines)
        incomplete_texts = pa.array([text_of_line[line] for line in lines], pa.string())
        texts = pc.replace_with_mask(texts, incomplete.combine_chunks(), incomplete_texts)
    return raw.append_column(RAW, texts)


def _drop_blank_lines(path: Path, raw: pa.Table) -> pa.Table:
    is_blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(raw[RAW]), ""), fill_value=False)
    if not pc.any(is_blank).as_py():
        return raw
    kept = raw.filter(pc.invert(is_blank))
    log.info("%s: skipped %d blank lines", path, raw.num_rows - kept.num_rows)
    return kept
