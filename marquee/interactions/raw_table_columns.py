"""Columns of the raw table: rows as read from the source, before validation.

line                   line number in the source (int64)
user, item             str
rating                 float64, null where the source has no number; only if ratings are used
weight                 likewise; only if the source has a column of weights
event                  type of event (str); only if the source has a column of events
timestamp              float64, UTC seconds, null where the source has none
raw                    text of the row if part of it could not be parsed, else null
parse_error            reason why the line could not be split into fields, else null
rating_text,           text of a cell that should be a number but is not, else null
weight_text,
timestamp_text
"""

import re

import pandas as pd

from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, WEIGHT

LINE, EVENT, RAW, PARSE_ERROR = "line", "event", "raw", "parse_error"
TIMESTAMP_TEXT = "timestamp_text"
VALUE_COLUMNS = (RATING, WEIGHT, EVENT)  # each table has some of them, or none: then every row counts 1
TEXT_COLUMNS = {RATING: "rating_text", WEIGHT: "weight_text", TIMESTAMP: TIMESTAMP_TEXT}
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


def raw_columns(*values: str) -> tuple[str, ...]:
    """Return the columns of a raw table, in order.

    Args:
        values: those of `VALUE_COLUMNS` that the table has.

    >>> raw_columns("event")
    ('line', 'user', 'item', 'event', 'timestamp', 'raw', 'parse_error', 'timestamp_text')
    """
    texts = [text for name, text in TEXT_COLUMNS.items() if name in (*values, TIMESTAMP)]
    return (LINE, USER, ITEM, *values, TIMESTAMP, RAW, PARSE_ERROR, *texts)


def valid_id_mask(ids: pd.Series) -> pd.Series:
    r"""Mark the ids that are neither null nor empty and have no control characters.

    >>> valid_id_mask(pd.Series(["u1", "", None, "tab\t"])).tolist()
    [True, False, False, False]
    """
    return ids.notna() & (ids != "") & ~ids.str.contains(CONTROL_CHARACTERS, na=False)
