"""Which column of a delimited file is which, and what to say where one is not there."""

import csv
import difflib
import re
from collections.abc import Collection
from pathlib import Path

from experiments.datasets.movielens import Layout
from marquee.errors import ConfigError, DataError

USUAL_SEPARATORS = ("::", "\t", ";", "|", ",")
STAND_IN = "\x1f"  # one byte for a separator of several


def split(line: str, separator: str, *, quoted: bool) -> list[str]:
    """The fields of one line."""
    if len(separator) > 1:
        line, separator = line.replace(separator, STAND_IN), STAND_IN
    if not quoted:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def positions(path: Path, first: str, layout: Layout, optional: Collection[str]) -> dict[str, int]:
    """Our column names -> where they stand, from 0; an optional one that is absent is left out.

    Raises:
        ConfigError: the file has no header and a column is not given by number.
        DataError: the file lacks a column, or is separated by something else.
    """
    fields = [field.strip() for field in split(first, layout.separator, quoted=layout.quoted)]
    if not any(fields):
        raise DataError(
            f"{path} starts with an empty line: its {'header' if layout.header else 'rows'} belong there"
        )
    if len(fields) == 1 and (other := _other_separator(first, layout.separator)):
        raise DataError(
            f"{path} has one column at separator {layout.separator!r} and looks separated by {other!r}: "
            f"set data.file.separator"
        )
    place = _by_name if layout.header else _by_number
    found = {ours: place(path, fields, ours, theirs) for ours, theirs in layout.columns.items()}
    missing = [ours for ours, at in found.items() if at is None and ours not in optional]
    if missing:
        raise DataError(_missing(path, fields, missing[0], layout))
    return {ours: at for ours, at in found.items() if at is not None}


def _other_separator(first: str, separator: str) -> str | None:
    return next((s for s in USUAL_SEPARATORS if s in first and s != separator), None)


def _by_name(path: Path, fields: list[str], ours: str, theirs: str) -> int | None:
    if fields.count(theirs) > 1:
        raise DataError(f"{path} has {fields.count(theirs)} columns called {theirs!r}: which is the {ours}?")
    return fields.index(theirs) if theirs in fields else None


def _by_number(_path: Path, fields: list[str], ours: str, theirs: str) -> int | None:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", theirs):
        raise ConfigError(f"data.file: without a header {ours} is a column number from 1, not {theirs!r}")
    return int(theirs) - 1 if int(theirs) <= len(fields) else None


def _missing(path: Path, fields: list[str], ours: str, layout: Layout) -> str:
    """What is not there, what is, and which of it is nearest."""
    theirs = layout.columns[ours]
    if not layout.header:
        return f"{path} has {len(fields)} columns and no column {theirs} for {ours}: see data.file.columns"
    if all(re.fullmatch(r"[-+.\w]*\d", field) for field in fields) and not set(fields) & set(
        layout.columns.values()
    ):
        return f"{path} has no header but starts with {fields[:4]}: set data.file.header to false"
    return missing_column(path, fields, ours, theirs)


def missing_column(path: Path, fields: list[str], ours: str, theirs: str) -> str:
    """The line for a table that has names, but not this one."""
    nearest = difflib.get_close_matches(theirs.lower(), {field.lower(): field for field in fields}, n=1)
    names = {field.lower(): field for field in fields}
    hint = f"did you mean {names[nearest[0]]!r}? " if nearest else ""
    listed = ", ".join(fields[:12]) + (", ..." if len(fields) > 12 else "")
    return f"{path} has no column {theirs!r} for {ours} among {listed}: {hint}see data.file.columns"
