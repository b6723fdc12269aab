"""Positions of the columns in a delimited text file."""

import csv
import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from experiments.datasets.table_format import TableFormat
from marquee.errors import ConfigError, DataError
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.interactions.raw_table_columns import EVENT

COMMON_SEPARATORS = ("::", "\t", ";", "|", ",")
SUBSTITUTE_SEPARATOR = "\x1f"  # replaces a separator of several characters; parsers accept one only
MAX_LISTED_COLUMNS = 12


def split_fields(line: str, separator: str, *, quoted: bool) -> list[str]:
    """Split one line into its fields.

    >>> split_fields('1::"Mask, The"::5', "::", quoted=True)
    ['1', 'Mask, The', '5']
    """
    if len(separator) > 1:
        line, separator = line.replace(separator, SUBSTITUTE_SEPARATOR), SUBSTITUTE_SEPARATOR
    if not quoted:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def find_column_positions(
    path: Path, first_line: str, table_format: TableFormat, optional: Collection[str]
) -> dict[str, int]:
    """Return the position of each column, from 0, by raw column name, without absent optional columns.

    Args:
        path: the file, for messages.
        first_line: the header, or the first row if the format has none.
        table_format: separator and columns.
        optional: raw column names that the file may lack.

    Raises:
        ConfigError: the file has no header and a column is not given by its number.
        DataError: the file lacks a column, or has another separator.
    """
    fields = [
        field.strip()
        for field in split_fields(first_line, table_format.separator, quoted=table_format.quoted)
    ]
    _check_first_line(path, first_line, fields, table_format)
    find_position = _position_by_name if table_format.header else _position_by_number
    positions: dict[str, int] = {}
    for column, source_name in table_format.columns.items():
        position = find_position(path, fields, column, source_name)
        if position is not None:
            positions[column] = position
        elif column not in optional:
            raise DataError(_explain_missing_column(path, fields, column, table_format))
    return positions


def missing_column_message(path: Path, names: Sequence[str], column: str, table_format: TableFormat) -> str:
    """Return the error message for a missing column in a table with named columns."""
    source_name = table_format.columns[column]
    by_lowercase = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(source_name.lower(), by_lowercase, n=1)
    hint = f"; did you mean {by_lowercase[nearest[0]]!r}?" if nearest else ";"
    listed = ", ".join(names[:MAX_LISTED_COLUMNS]) + (", ..." if len(names) > MAX_LISTED_COLUMNS else "")
    key = f"{table_format.columns_params_key}.{column}" + (".column" if column == EVENT else "")
    otherwise = ", or to null if there are no ratings (implicit feedback)" if column == RATING else ""
    return (
        f"{path} has no column {source_name!r}, only {listed}{hint} "
        f"set {key} to the name of the {column} column{otherwise}"
    )


def repeated_column_message(path: Path, count: int, column: str, source_name: str) -> str:
    """Return the error message for a table with several columns of the same name."""
    return f"{path} has {count} columns named {source_name!r}; rename all but the {column} column"


def _check_first_line(path: Path, line: str, fields: list[str], table_format: TableFormat) -> None:
    if not any(fields):
        expected = "its header" if table_format.header else "a row"
        raise DataError(f"{path} starts with an empty line, expected {expected}; delete the empty line")
    separator = table_format.separator
    other = next((each for each in COMMON_SEPARATORS if each in line and each != separator), None)
    if len(fields) == 1 and other is not None:
        raise DataError(
            f"{path} has only one column when split at {separator!r}, but contains {other!r}; "
            f"set data.file.separator to {other!r}"
        )


def _position_by_name(path: Path, fields: list[str], column: str, source_name: str) -> int | None:
    count = fields.count(source_name)
    if count > 1:
        raise DataError(repeated_column_message(path, count, column, source_name))
    return fields.index(source_name) if count else None


def _position_by_number(_path: Path, fields: list[str], column: str, source_name: str) -> int | None:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", source_name):
        otherwise = "," if column in (USER, ITEM) else ", or null if there is none,"
        raise ConfigError(
            f"data.file: the {column} column must be a number, starting at 1{otherwise} "
            f"if header is false (got {source_name!r})"
        )
    return int(source_name) - 1 if int(source_name) <= len(fields) else None


def _explain_missing_column(path: Path, fields: list[str], column: str, table_format: TableFormat) -> str:
    if not table_format.header:
        return (
            f"{path} has only {len(fields)} columns, expected the {column} in column "
            f"{table_format.columns[column]}; correct {table_format.columns_params_key}"
        )
    # Ids, ratings and times end in a digit; column names rarely do.
    looks_like_a_row = all(re.fullmatch(r"[-+.\w]*\d", field) for field in fields)
    if looks_like_a_row and not set(fields) & set(table_format.columns.values()):
        return (
            f"{path} has no header (its first line is {', '.join(fields[:4])}, ...); set data.file.header "
            f"to false and give column numbers in {table_format.columns_params_key}"
        )
    return missing_column_message(path, fields, column, table_format)
