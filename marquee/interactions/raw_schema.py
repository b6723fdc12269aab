"""The ingested table: rows as they were read, before anything is judged.

line (int64) | user | item (str) | rating | timestamp (float64, null where it is no number)
raw            the row's text, where something in it was not understood
fault          why it is no row at all, else null
rating_text, timestamp_text    what stands where a number should, else null
"""

import re

import pandas as pd

from marquee.interactions.matrix import ITEM, RATING, TIMESTAMP, USER

LINE, RAW, FAULT = "line", "raw", "fault"
RATING_TEXT, TIMESTAMP_TEXT = "rating_text", "timestamp_text"
INGESTED_COLUMNS = (LINE, USER, ITEM, RATING, TIMESTAMP, RAW, FAULT, RATING_TEXT, TIMESTAMP_TEXT)
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def is_good_id(ids: pd.Series) -> pd.Series:
    """Whether each id is text, not empty, and free of control characters."""
    return ids.notna() & (ids != "") & ~ids.str.contains(CONTROLS, na=False)
