"""Aggregation: one interaction for each pair of user and item, from all rows of the pair.

Cut first, then aggregate inside each part: an aggregate over the whole table would let training weights
contain rows of the test set.
"""

from typing import Literal, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from marquee.array_types import Float64Array, Int64Array
from marquee.errors import DataError
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, WEIGHT, value_column

NumberArray = TypeVar("NumberArray", Int64Array, Float64Array)

RepeatsPolicy: TypeAlias = Literal["last", "mean", "refuse", "sum", "count", "max"]
ROUNDING_ERROR = float(np.finfo(np.float32).eps)  # of a sum of weights, relative to the sum of their sizes
RATING_POLICIES: tuple[RepeatsPolicy, ...] = ("last", "mean", "refuse")
WEIGHT_POLICIES: tuple[RepeatsPolicy, ...] = ("sum", "count", "max", "last", "refuse")


def aggregate(rows: pd.DataFrame, repeats: RepeatsPolicy) -> pd.DataFrame:
    """Return one row for each pair of user and item, in order of first appearance.

    The timestamp of a pair, if there is one, is its latest. A pair whose aggregated weight is not positive is
    dropped: everything was returned.

    Args:
        rows: interactions table, which may contain a pair several times.
        repeats: value of a pair with several rows. "last": that of the latest row (of the last row in the
            table if timestamps are equal or missing); "mean", "sum", "max": that of its values; "count": its
            rows with a positive weight, less those with a negative one; "refuse": no pair has several rows.
            A sum of 0 up to rounding is 0: 0.1 and 0.2, of which 0.3 are returned, leave nothing.

    Raises:
        DataError: the policy does not fit the values, or it is "refuse" and the table has a pair twice.

    >>> rows = pd.DataFrame({"user": ["a", "b", "a"], "item": ["x", "x", "x"], "weight": [2.0, 1.0, 3.0]})
    >>> aggregate(rows, "sum")
      user item  weight
    0    a    x     5.0
    1    b    x     1.0
    """
    column = value_column(rows)
    _check_policy(column, repeats)
    groups, first_rows = _group_pairs(rows)
    if repeats == "refuse" and len(first_rows) < len(rows):
        _refuse(rows, groups)
    table = rows.iloc[first_rows].reset_index(drop=True)
    table[column] = _aggregate_values(rows, column, groups, repeats).astype(np.float32)
    if TIMESTAMP in rows:
        table[TIMESTAMP] = _group_maxima(rows[TIMESTAMP].to_numpy(dtype=np.int64), groups)
    return table[table[column] > 0].reset_index(drop=True) if column == WEIGHT else table


def _check_policy(column: str, repeats: RepeatsPolicy) -> None:
    allowed = RATING_POLICIES if column == RATING else WEIGHT_POLICIES
    if repeats not in allowed:
        raise DataError(
            f"interactions.repeats must be {', '.join(allowed[:-1])} or {allowed[-1]} "
            f"for a table of {column}s (got {repeats})"
        )


def pair_codes(rows: pd.DataFrame) -> Int64Array:
    """Return a number for each row that is equal for rows of the same user and item."""
    users, items = pd.factorize(rows[USER])[0], pd.factorize(rows[ITEM])[0]
    pairs: Int64Array = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    return pairs


def _group_pairs(rows: pd.DataFrame) -> tuple[Int64Array, Int64Array]:
    """Return the number of each row's pair, in order of first appearance, and the first row of each pair."""
    groups, _ = pd.factorize(pair_codes(rows))
    is_first = np.ones(len(groups), dtype=bool)
    is_first[1:] = groups[1:] > np.maximum.accumulate(groups)[:-1]
    return groups, np.flatnonzero(is_first)


def _aggregate_values(
    rows: pd.DataFrame, column: str, groups: Int64Array, repeats: RepeatsPolicy
) -> Float64Array:
    """Return the value of each pair. Sums run in source order, so equal tables give equal bits."""
    values = rows[column].to_numpy(dtype=np.float64)
    if repeats in ("last", "refuse"):
        return values[_latest_rows(rows, groups)]
    if repeats == "max":
        return _group_maxima(values, groups)
    summands: Float64Array = np.sign(values) if repeats == "count" else values
    sums: Float64Array = np.bincount(groups, summands).astype(np.float64)
    if repeats == "mean":
        return sums / np.bincount(groups)
    return np.where(np.abs(sums) <= ROUNDING_ERROR * np.bincount(groups, np.abs(summands)), 0.0, sums)


def _latest_rows(rows: pd.DataFrame, groups: Int64Array) -> Int64Array:
    """Return the position of the latest row of each pair; the last one if timestamps are equal or missing."""
    is_latest = np.ones(len(rows), dtype=bool)
    if TIMESTAMP in rows:
        times = rows[TIMESTAMP].to_numpy(dtype=np.int64)
        is_latest = times == _group_maxima(times, groups)[groups]
    positions = np.flatnonzero(is_latest)
    latest = np.empty(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    latest[groups[positions]] = positions  # of several positions, the last one is kept
    return latest


def _group_maxima(values: NumberArray, groups: Int64Array) -> NumberArray:
    """Return the largest value of each pair."""
    lowest = values.min(initial=0)
    maxima = np.full(int(groups.max(initial=-1)) + 1, lowest, dtype=values.dtype)
    np.maximum.at(maxima, groups, values)
    return maxima


def _refuse(rows: pd.DataFrame, groups: Int64Array) -> None:
    repeated = np.flatnonzero(pd.Series(groups).duplicated())
    user, item = rows[USER].iloc[repeated[0]], rows[ITEM].iloc[repeated[0]]
    raise DataError(
        f"{len(repeated)} rows repeat a pair of user and item, which interactions.repeats: refuse does not "
        f"allow; the first is user {user!r}, item {item!r}"
    )
