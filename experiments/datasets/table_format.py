"""`TableFormat`, the format of a table in a file, and `RawTable`, the table as read."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from marquee.interactions.columns import ITEM_COLUMNS, USER

ArrowColumn: TypeAlias = Any  # pa.Array or pa.ChunkedArray; PyArrow has no type hints


@dataclass(frozen=True)
class TableFormat:
    """Columns to read from a file, and the format of the file if it is delimited text.

    Attributes:
        columns: names in the file, by raw column name; column numbers from 1 if the file has no header.
        separator: one or more characters.
        header: True if the first line contains the column names.
        encoding: name of a Python codec.
        quoted: True if a field may be enclosed in quotation marks; otherwise they are ordinary characters.
        timestamp_unit: unit of numeric timestamps: s, ms, us or ns.
        genre_flags: columns named after genres; each contains "1" if the item has the genre.
    """

    columns: Mapping[str, str]
    separator: str = ","
    header: bool = True
    encoding: str = "utf-8"
    quoted: bool = True
    timestamp_unit: str = "s"
    genre_flags: tuple[str, ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Columns of an items table that are attributes of items."""
        known = {*ITEM_COLUMNS, *self.genre_flags}
        return tuple(name for name in self.columns if name not in known)

    @property
    def columns_params_key(self) -> str:
        """Key of params.yaml under which a user names the columns of their own table."""
        return "data.file.columns" if USER in self.columns else "data.file.item_columns"


@dataclass(frozen=True)
class RawTable:
    """Columns of a file before parsing, and access to the text of its rows.

    Attributes:
        columns: line (int64), one column for each requested name, and parse_error (str, else null).
        row_texts: returns the text of the rows with the given line numbers.
    """

    columns: pa.Table
    row_texts: Callable[[Collection[int]], dict[int, str]]
