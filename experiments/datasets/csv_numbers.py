"""The text of a cell -> a number; where it is none, null, and the text is kept."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
INFINITE = r"^[+-]?(?i:inf|infinity)$"
UNIT_SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def parse(column: Any) -> tuple[Any, Any]:
    """A column -> (float64, null or NaN where it is no number; str, the text that is no number).

    An empty cell is null in both. A column of dates becomes UTC seconds.
    """
    if pa.types.is_timestamp(column.type):
        column = pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64()), UNIT_SECONDS[column.type.unit])
    if not _is_text(column.type):
        return pc.cast(column, pa.float64(), safe=False), pa.nulls(len(column), pa.string())
    try:
        numbers = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return _parse_some(pc.cast(column, pa.string()))
    return numbers, pc.if_else(pc.is_nan(numbers), column, pa.scalar(None, column.type))


def _parse_some(column: Any) -> tuple[Any, Any]:
    """Where not every cell is a number: those that are, with blanks around them or not."""
    trimmed = pc.utf8_trim_whitespace(column)
    is_number = pc.or_(pc.match_substring_regex(trimmed, NUMBER), pc.match_substring_regex(trimmed, INFINITE))
    nothing = pa.scalar(None, pa.string())
    numbers = pc.cast(pc.if_else(is_number, trimmed, nothing), pa.float64())
    is_text = pc.and_(pc.invert(is_number), pc.not_equal(trimmed, ""))
    return numbers, pc.if_else(is_text, column, nothing)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
