"""Parts of an interactions table: rows to train on, three validation parts, and the test part, by one cut.

    random     all rows of a random share of the pairs of user and item are held out
    time       three windows of time before the test window are held out; earlier rows only train
    user_last  each user's last rows are the test part, and those before them the validation parts

Rows are cut before the rows of a pair are aggregated, so that training values contain nothing from after the
cut. The parts of time and user_last are in order of time: each is held out from what came before it.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from marquee.array_types import BoolArray, Int8Array, Int64Array
from marquee.errors import DataError
from marquee.interactions.aggregation import pair_codes
from marquee.interactions.columns import TIMESTAMP, USER
from marquee.interactions.splitting import shuffle_rows

Strategy: TypeAlias = Literal["random", "time", "user_last"]
RepeatPolicy: TypeAlias = Literal["exclude", "allow"]

N_VALIDATION_PARTS = 3
N_PARTS = N_VALIDATION_PARTS + 1
TRAIN_ONLY, TEST_PART = -1, N_VALIDATION_PARTS  # part numbers; 0, 1 and 2 are the validation parts
PART, IS_HISTORY = "part", "is_history"  # columns of the training rows in data/split/rows.parquet
HISTORY_ROWS = 5  # first rows of a newcomer, which are known when their other rows are predicted


@dataclass(frozen=True)
class RowKeys:
    """Numbers of the user and of the pair of each row of an interactions table, and its timestamp.

    All arrays have the shape (n_rows,). Equal numbers are equal users or pairs, in order of first appearance.
    """

    users: Int64Array
    pairs: Int64Array
    times: Int64Array | None

    @classmethod
    def from_frame(cls, rows: pd.DataFrame) -> "RowKeys":
        """Number the users and pairs of an interactions table."""
        times = rows[TIMESTAMP].to_numpy(dtype=np.int64) if TIMESTAMP in rows else None
        return cls(pd.factorize(rows[USER])[0], pd.factorize(pair_codes(rows))[0], times)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.users)

    def require_times(self, strategy: Strategy) -> Int64Array:
        """Return the timestamps.

        Raises:
            DataError: there are none.
        """
        if self.times is None:
            raise DataError(
                f"split.strategy is {strategy}, but the interactions have no timestamps; set it to random"
            )
        return self.times


@dataclass(frozen=True)
class PartRows:
    """Row numbers of one part, each in source order: what is known, and what is to be predicted."""

    train: Int64Array
    history: Int64Array  # first rows of newcomers
    held_out: Int64Array
    repeats: Int64Array  # held-out rows of a pair that has an earlier row, set apart


@dataclass(frozen=True)
class Cut:
    """Part of each row of an interactions table; arrays of shape (n_rows,).

    Attributes:
        strategy: how the rows were cut.
        part: `TRAIN_ONLY`, the number of a validation part, or `TEST_PART`.
        is_history: True for the first rows of a newcomer, a user whose rows begin in a held-out window.
    """

    strategy: Strategy
    part: Int8Array
    is_history: BoolArray

    @classmethod
    def from_frame(cls, rows: pd.DataFrame, strategy: Strategy) -> "Cut":
        """Restore the cut of a table with the columns that `training_rows` adds."""
        return cls(strategy, rows[PART].to_numpy(dtype=np.int8), rows[IS_HISTORY].to_numpy(dtype=bool))

    def training_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows before the test part, in source order, with their part and `is_history`."""
        before_test = self.part != TEST_PART
        numbers = {PART: self.part[before_test], IS_HISTORY: self.is_history[before_test]}
        table: pd.DataFrame = rows[before_test].assign(**numbers)
        return table.reset_index(drop=True)

    @property
    def is_rolling(self) -> bool:
        """True if parts are in order of time, and a part is held out from what came before it."""
        return self.strategy != "random"

    def select_rows(self, part: int, pairs: Int64Array, repeat: RepeatPolicy) -> PartRows:
        """Return the rows of a validation part, or of the test part.

        Args:
            part: number of the part.
            pairs: number of the pair of each row, shape (n_rows,).
            repeat: "exclude" sets held-out rows apart if the pair is in the training rows or the history.
        """
        in_train = self.part < part if self.is_rolling else (self.part != part) & (self.part != TEST_PART)
        in_part = self.part == part
        history, held_out = in_part & self.is_history, in_part & ~self.is_history
        is_repeat = np.zeros(len(pairs), dtype=bool)
        if repeat == "exclude":
            is_known = np.zeros(int(pairs.max(initial=-1)) + 1, dtype=bool)
            is_known[pairs[in_train | history]] = True
            is_repeat = held_out & is_known[pairs]
        masks = (in_train, history, held_out & ~is_repeat, is_repeat)
        return PartRows(*(np.flatnonzero(mask) for mask in masks))


def cut_at_random(keys: RowKeys, share: float, seed: int, repeat: RepeatPolicy = "exclude") -> Cut:
    """Hold out random pairs of user and item, each with all of its rows.

    If repeats may be recommended, single rows are held out instead of pairs.

    Args:
        keys: the rows.
        share: share of the pairs in the test part, and in each validation part.
        seed: seed of the shuffle.
        repeat: "allow" holds out rows.

    Raises:
        DataError: there are fewer pairs than parts.
    """
    units = keys.pairs if repeat == "exclude" else np.arange(len(keys))
    n_units = int(units.max(initial=-1)) + 1
    size = _part_size(n_units, share)
    part_of_unit = np.full(n_units, TRAIN_ONLY, dtype=np.int8)
    order = shuffle_rows(n_units, seed)
    for position, part in enumerate((TEST_PART, *range(N_VALIDATION_PARTS))):
        part_of_unit[order[position * size : (position + 1) * size]] = part
    return Cut("random", part_of_unit[units], np.zeros(len(keys), dtype=bool))


def cut_by_time(keys: RowKeys, share: float) -> Cut:
    """Hold out windows of time, the last of which is the test part.

    Each window starts at the latest timestamp from which it has `share` of all rows. Rows with equal
    timestamps are never separated; otherwise training rows could be as late as held-out rows.

    Raises:
        DataError: there are no timestamps, too few rows, or too many rows share a timestamp.
    """
    times = keys.require_times("time")
    size = _part_size(len(keys), share)
    ordered = np.sort(times)
    part = np.full(len(keys), TRAIN_ONLY, dtype=np.int8)
    end = len(keys)
    for number in reversed(range(N_PARTS)):
        start = ordered[max(end - size, 0)]
        part[(times >= start) & (part == TRAIN_ONLY)] = number
        end = int(np.searchsorted(ordered, start))
    if end == 0:
        raise DataError(
            "the interactions cannot be split by time, because too many of them share a timestamp; "
            "set split.strategy to random"
        )
    return Cut("time", part, _mark_history(keys.users, times, part))


def cut_user_last(keys: RowKeys, share: float) -> Cut:
    """Hold out each user's last rows, as the test part and, before them, as the validation parts.

    Of n rows, a user contributes n * share to each part. The fractions are rounded so that they add up over
    the users, in order of first appearance. A user with fewer than five rows only trains. Rows with equal
    timestamps are in source order.

    Raises:
        DataError: there are no timestamps, or no user has enough rows.
    """
    times = keys.require_times("user_last")
    counts = np.bincount(keys.users)
    size = _rows_per_part(counts, share)
    if not size.any():
        raise DataError(
            f"no user has enough rows to hold out the last of them (at least {N_PARTS + 1} rows are needed); "
            f"set split.strategy to random"
        )
    from_end = np.empty(len(keys), dtype=np.int64)
    order = np.lexsort((times, keys.users))  # by user, then time; stable
    from_end[order] = np.cumsum(counts)[keys.users[order]] - 1 - np.arange(len(keys))
    size_of_row = size[keys.users]
    part = TEST_PART - from_end // np.maximum(size_of_row, 1)
    part = np.where((size_of_row > 0) & (part >= 0), part, TRAIN_ONLY)
    return Cut("user_last", part.astype(np.int8), np.zeros(len(keys), dtype=bool))


def _part_size(n: int, share: float) -> int:
    """Return the size of a part: a share of n, but at least 1, and so that something is left to train on.

    Raises:
        DataError: n is less than 5.
    """
    if n <= N_PARTS:
        raise DataError(
            f"{n} interactions are too few to split (at least {N_PARTS + 1} are needed); add data"
        )
    return max(1, min(round(n * share), (n - 1) // N_PARTS))


def _rows_per_part(counts: Int64Array, share: float) -> Int64Array:
    """Return the number of rows that each user contributes to each part, shape (n_users,)."""
    most = (counts - 1) // N_PARTS
    quota = np.cumsum(np.where(most > 0, counts, 0)) * share
    rounded = np.floor(quota + 1e-9).astype(np.int64)  # 1e-9: 30 * 0.1 is slightly more or less than 3
    return np.minimum(np.diff(rounded, prepend=0), most)


def _mark_history(users: Int64Array, times: Int64Array, part: Int8Array) -> BoolArray:
    """Mark the first rows, in their first window, of users whose rows begin in a held-out window."""
    order = np.lexsort((times, users))  # by user, then time; stable
    first = np.flatnonzero(np.diff(users[order], prepend=-1))
    first_part = part[order[first]][users]
    rank = np.empty(len(users), dtype=np.int64)
    rank[order] = np.arange(len(users)) - first[users[order]]
    is_history: BoolArray = (first_part != TRAIN_ONLY) & (part == first_part) & (rank < HISTORY_ROWS)
    return is_history
