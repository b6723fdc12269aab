"""Columns of the raw table: rows as read from the source, before validation.

line                           line number in the source (int64)
user, item                     str
rating, timestamp              float64, null where the source has no number
raw                            text of the row if part of it could not be parsed, else null
parse_error                    reason why the line could not be split into fields, else null
rating_text, timestamp_text    text of a cell that should be a number but is not, else null
"""

import re

import pandas as pd

from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER

LINE, RAW, PARSE_ERROR = "line", "raw", "parse_error"
RATING_TEXT, TIMESTAMP_TEXT = "rating_text", "timestamp_text"
RAW_COLUMNS = (LINE, USER, ITEM, RATING, TIMESTAMP, RAW, PARSE_ERROR, RATING_TEXT, TIMESTAMP_TEXT)
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


def valid_id_mask(ids: pd.Series) -> pd.Series:
    r"""Mark the ids that are neither null nor empty and have no control characters.

    >>> valid_id_mask(pd.Series(["u1", "", None, "tab\t"])).tolist()
    [True, False, False, False]
    """
    return ids.notna() & (ids != "") & ~ids.str.contains(CONTROL_CHARACTERS, na=False)
