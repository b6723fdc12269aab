"""Weight of each row of implicit feedback, and the rows that are left out because of it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from marquee.interactions.columns import WEIGHT
from marquee.interactions.feedback import NegativeWeightsPolicy
from marquee.interactions.raw_table_columns import EVENT

KINDS = IS_ZERO, IS_NEGATIVE = "weight is 0", "weight is negative"


def compute_row_weights(rows: pd.DataFrame, event_weights: Mapping[str, float]) -> pd.Series:
    """Return the weight of each row: its own weight times that of its event; 1 where the table has neither.

    Args:
        rows: valid rows of a raw table, events as categories.
        event_weights: weight of each event type in the table.

    >>> rows = pd.DataFrame({"event": ["view", "buy"], "weight": [1.0, 2.0]}).astype({"event": "category"})
    >>> compute_row_weights(rows, {"view": 1, "buy": 5}).tolist()
    [1.0, 10.0]
    """
    weights = np.ones(len(rows))
    if WEIGHT in rows:
        weights *= rows[WEIGHT].to_numpy(dtype=np.float64)
    if EVENT in rows:
        by_code = np.array([event_weights.get(event, np.nan) for event in rows[EVENT].cat.categories])
        weights *= by_code[rows[EVENT].cat.codes.to_numpy()] if len(rows) else weights
    return pd.Series(weights.astype(np.float32), rows.index, name=WEIGHT)


def classify_left_out(weights: pd.Series, policy: NegativeWeightsPolicy) -> pd.Series:
    """Return `IS_ZERO` or `IS_NEGATIVE` for each row to leave out, by index.

    A weight of 0 is no evidence. Negative weights, such as returned goods, are left out too unless the policy
    is to subtract them.

    >>> classify_left_out(pd.Series([2.0, 0.0, -1.0]), "drop").to_dict()
    {1: 'weight is 0', 2: 'weight is negative'}
    """
    is_left_out = weights <= 0 if policy == "drop" else weights == 0
    left_out = weights[is_left_out]
    return pd.Series(np.where(left_out == 0, IS_ZERO, IS_NEGATIVE), left_out.index, dtype=object)


def explain_left_out(rows: pd.DataFrame, kinds: pd.Series) -> pd.Series:
    """Return the reason for each row that `classify_left_out` leaves out, with its event if there is one."""
    suffixes = [" (left out)"]
    codes = np.zeros(len(kinds), dtype=np.int64)
    if EVENT in rows:
        events = rows.loc[kinds.index, EVENT].cat
        suffixes = [f" for event {event!r} (left out)" for event in events.categories]
        codes = events.codes.to_numpy(dtype=np.int64)
    # Equal reasons are one string object, because there may be millions of them.
    zero, negative = (np.array([f"{kind}{suffix}" for suffix in suffixes], dtype=object) for kind in KINDS)
    return pd.Series(np.where(kinds == IS_ZERO, zero[codes], negative[codes]), kinds.index, dtype=object)
