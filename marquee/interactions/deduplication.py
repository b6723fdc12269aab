"""Deduplication: keep one rating per user and item."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from marquee.array_types import Int64Array
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.raw_table_columns import LINE

DuplicatePolicy: TypeAlias = Literal["last", "mean", "refuse"]
DROP_REASONS: dict[DuplicatePolicy, str] = {
    "last": "replaced by line",
    "mean": "merged into line",
    "refuse": "same user and item as line",
}


@dataclass(frozen=True)
class DeduplicationResult:
    """Rows with unique pairs of user and item, and the reason for each dropped row (by its index)."""

    rows: pd.DataFrame
    drop_reasons: pd.Series


def resolve_duplicates(rows: pd.DataFrame, policy: DuplicatePolicy) -> DeduplicationResult:
    """Keep one row for each pair of user and item.

    Args:
        rows: valid rows of the raw table, users and items as categories.
        policy: "last" keeps the row with the latest timestamp or, if timestamps are equal or missing, the
            last row in the source. "mean" keeps the first row, with the mean rating and the latest timestamp.
            "refuse" keeps the first row; the caller rejects the table if any row was dropped.
    """
    pairs = rows[USER].cat.codes.astype("int64") * len(rows[ITEM].cat.categories) + rows[ITEM].cat.codes
    repeated = rows[pairs.duplicated(keep=False)]
    if repeated.empty:
        return DeduplicationResult(rows, pd.Series(dtype=str))
    groups: Int64Array = pd.factorize(pairs[repeated.index])[0]
    first, latest = np.unique(groups, return_index=True)[1], _latest_rows(repeated, groups)
    kept_rows = latest if policy == "last" else first
    reasons = _drop_reasons(repeated, groups, kept_rows, DROP_REASONS[policy])
    if policy == "mean":
        rows = rows.copy()
        kept_index = repeated.index[kept_rows]
        rating_sums, group_sizes = np.bincount(groups, repeated[RATING]), np.bincount(groups)
        rows.loc[kept_index, RATING] = rating_sums / group_sizes
        rows.loc[kept_index, TIMESTAMP] = repeated[TIMESTAMP].to_numpy()[latest]
    return DeduplicationResult(rows.drop(index=reasons.index), reasons)


def _latest_rows(rows: pd.DataFrame, groups: Int64Array) -> Int64Array:
    """Return the position of the latest row of each group; the last one if timestamps are equal."""
    by_time = np.lexsort((rows[TIMESTAMP].fillna(0).to_numpy(), groups))  # by group, then time; stable
    return by_time[np.flatnonzero(np.diff(groups[by_time], append=-1))]


def _drop_reasons(rows: pd.DataFrame, groups: Int64Array, kept_rows: Int64Array, reason: str) -> pd.Series:
    """Return the reason for each dropped row, with the line number of the row kept instead."""
    dropped_rows = np.setdiff1d(np.arange(len(rows)), kept_rows)
    lines = rows[LINE].to_numpy()[kept_rows[groups[dropped_rows]]]
    return pd.Series([f"{reason} {line}" for line in lines], rows.index[dropped_rows])
