"""User ids from a text file with one id per line, from a column of a CSV file, or from standard input."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from marquee.errors import ConfigError, DataError
from service.api.query_params import find_id_problem

STANDARD_STREAM = "-"
DEFAULT_COLUMN = "user"
MAX_QUOTED_CHARACTERS = 40  # longer ids are cut in messages


def read_user_ids(source: str, column: str | None = None) -> list[str]:
    """Read and check all user ids.

    Args:
        source: path, or - for standard input.
        column: column of a CSV file with a header; None: `user` if the name ends in .csv, otherwise the
            source is text with one id per line.

    Raises:
        ConfigError: the file does not exist or cannot be opened.
        DataError: there are no ids, an id is invalid or repeated, the file is not UTF-8, or has no such
            column; the message names the line.
    """
    name = "standard input" if source == STANDARD_STREAM else source
    if column is None and Path(source).suffix.lower() == ".csv":
        column = DEFAULT_COLUMN
    lines: dict[str, int] = {}  # line of each id
    try:
        with _open_text(source, is_csv=column is not None) as file:
            for line, user in _iter_lines(file) if column is None else _iter_column(file, column, name):
                if problem := _find_problem(user, lines):
                    raise DataError(f"{name}, line {line}: {problem}; correct or remove the line")
                lines[user] = line
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text (byte {error.start}: {error.reason})") from None
    except csv.Error as error:
        raise DataError(f"{name} is not CSV ({error})") from None
    if not lines:
        raise DataError(f"{name} contains no user ids; expected one per line")
    return list(lines)


@contextmanager
def _open_text(source: str, *, is_csv: bool) -> Iterator[TextIO]:
    """Open a source as UTF-8, without a byte order mark; the CSV reader needs line ends unchanged.

    Raises:
        ConfigError: the file cannot be opened.
    """
    path: str | int = sys.stdin.fileno() if source == STANDARD_STREAM else source
    try:
        file = open(  # noqa: SIM115  # a path or a descriptor; closed below
            path, encoding="utf-8-sig", newline="" if is_csv else None, closefd=source != STANDARD_STREAM
        )
    except OSError as error:
        raise ConfigError(
            f"--users: {source} cannot be read ({error.strerror}); name a file with one user id per line"
        ) from None
    with file:
        yield file


def _iter_lines(file: TextIO) -> Iterator[tuple[int, str]]:
    """Yield number and content of each line."""
    for number, line in enumerate(file, 1):
        yield number, line.removesuffix("\n")


def _iter_column(file: TextIO, column: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield line number and value of each row of a CSV file; empty lines are skipped."""
    reader = csv.reader(file, strict=True)
    header = next(reader, [])
    if column not in header:
        raise DataError(
            f"{name} has no column '{column}' (it has: {', '.join(header) or 'none'}); name one with --column"
        )
    position = header.index(column)
    for row in reader:
        if len(row) not in {0, len(header)}:
            raise DataError(
                f"{name}, line {reader.line_num}: {len(row)} fields, expected {len(header)} as in the header"
            )
        if row:
            yield reader.line_num, row[position]


def _find_problem(user: str, lines: dict[str, int]) -> str | None:
    """Return why an id cannot be used, or None."""
    if problem := find_id_problem(user):
        return f"user id {problem} (got {_quote(user)})"
    if user in lines:
        return f"user {_quote(user)} is repeated; it is in line {lines[user]}, too"
    return None


def _quote(text: str) -> str:
    return repr(text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}...")
