"""Choice of the split, and how many users each of its parts evaluates."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from marquee.array_types import BoolArray, Int64Array
from marquee.errors import DataError
from marquee.interactions.aggregation import aggregate
from marquee.interactions.columns import ITEM, USER, value_column
from marquee.interactions.feedback import FeedbackSpec
from marquee.interactions.parts import (
    N_VALIDATION_PARTS,
    Cut,
    PartRows,
    RepeatPolicy,
    RowKeys,
    Strategy,
    cut_at_random,
    cut_by_time,
    cut_user_last,
)

StrategySetting: TypeAlias = Literal["auto"] | Strategy
MIN_USER_WINDOWS = 1000  # evaluated users, summed over the validation windows, from which windows are precise


@dataclass(frozen=True)
class SplitSpec:
    """Settings of a split; see the block `split` of params.yaml."""

    strategy: StrategySetting
    share: float
    repeat: RepeatPolicy
    seed: int


@dataclass(frozen=True)
class PartSummary:
    """Size of a part, and the users by whom it evaluates recommendations.

    A user is evaluated if they have training rows or history, and a positive held-out pair.
    """

    train_rows: int
    history_rows: int
    held_out_rows: int
    repeat_rows: int
    users: int  # with rows in the part
    evaluated_users: int
    newcomers: int  # without training rows
    evaluated_newcomers: int
    first_timestamp: int | None


@dataclass(frozen=True)
class SplitTable:
    """Interactions table that is to be split, its row keys, and its kind of feedback."""

    rows: pd.DataFrame
    keys: RowKeys
    feedback: FeedbackSpec

    @classmethod
    def from_frame(cls, rows: pd.DataFrame, feedback: FeedbackSpec) -> "SplitTable":
        """Number the users and pairs of an interactions table."""
        return cls(rows, RowKeys.from_frame(rows), feedback)

    def summarize(self, cut: Cut, part: int, repeat: RepeatPolicy) -> PartSummary:
        """Return the size of a part and its evaluated users."""
        rows = cut.select_rows(part, self.keys.pairs, repeat)
        in_part = np.flatnonzero(cut.part == part)
        has_rows, is_evaluated = self._mark_users(in_part), self._mark_evaluated_users(rows)
        is_newcomer = has_rows & ~self._mark_users(rows.train)
        times = self.keys.times
        return PartSummary(
            train_rows=len(rows.train),
            history_rows=len(rows.history),
            held_out_rows=len(rows.held_out),
            repeat_rows=len(rows.repeats),
            users=int(has_rows.sum()),
            evaluated_users=int(is_evaluated.sum()),
            newcomers=int(is_newcomer.sum()),
            evaluated_newcomers=int((is_evaluated & is_newcomer).sum()),
            first_timestamp=None if times is None else int(times[in_part].min()),
        )

    @cached_property
    def _n_users(self) -> int:
        return int(self.keys.users.max(initial=-1)) + 1

    def _mark_users(self, rows: Int64Array) -> BoolArray:
        """Mark the users of these rows, (n_users,)."""
        is_marked = np.zeros(self._n_users, dtype=bool)
        is_marked[self.keys.users[rows]] = True
        return is_marked

    def _mark_evaluated_users(self, rows: PartRows) -> BoolArray:
        """Mark the users with training rows or history, and a positive held-out pair, (n_users,)."""
        value = value_column(self.rows)
        held_out = self.rows.iloc[rows.held_out].assign(
            **{USER: self.keys.users[rows.held_out], ITEM: self.keys.pairs[rows.held_out]}
        )
        pairs = aggregate(held_out, self.feedback.repeats)
        users = pairs.loc[pairs[value] >= self.feedback.positive_from, USER].to_numpy(dtype=np.int64)
        is_positive = np.zeros(self._n_users, dtype=bool)
        is_positive[users] = True
        return is_positive & (self._mark_users(rows.train) | self._mark_users(rows.history))


def choose_cut(table: SplitTable, spec: SplitSpec) -> tuple[Cut, str]:
    """Cut the rows by the strategy of the settings, or by the strategy that fits the data.

    "auto" is random without timestamps. With timestamps it is time if windows of time evaluate enough users,
    else user_last; windows that evaluate few users order algorithms by chance.

    Returns:
        The cut, and the reason for its strategy as one sentence.

    Raises:
        DataError: the rows cannot be cut by the strategy of the settings.
    """
    if spec.strategy != "auto":
        return _cut(table.keys, spec, spec.strategy), f"{spec.strategy} split, as split.strategy says"
    times = table.keys.times
    if times is None or not np.ptp(times):
        cause = "there are no timestamps" if times is None else "all timestamps are equal"
        return _cut(table.keys, spec, "random"), f"random split, because {cause}"
    try:
        return _cut_by_time_or_user(table, spec)
    except DataError:
        cause = "no user has enough rows to hold out the last of them"
        return _cut(table.keys, spec, "random"), f"random split, because {cause}"


def _cut_by_time_or_user(table: SplitTable, spec: SplitSpec) -> tuple[Cut, str]:
    """Cut by time if the windows evaluate enough users, else hold out each user's last rows.

    Raises:
        DataError: neither is possible.
    """
    try:
        windows = cut_by_time(table.keys, spec.share)
    except DataError:
        cause = "too many rows share a timestamp for windows of time"
    else:
        parts = range(N_VALIDATION_PARTS)
        n_users = sum(table.summarize(windows, part, spec.repeat).evaluated_users for part in parts)
        if n_users >= MIN_USER_WINDOWS:
            return windows, f"time split, because its three validation windows evaluate {n_users:,} users"
        cause = f"three windows of time would evaluate {n_users:,} users, fewer than {MIN_USER_WINDOWS:,}"
    return cut_user_last(table.keys, spec.share), f"user_last split, because {cause}"


def _cut(keys: RowKeys, spec: SplitSpec, strategy: Strategy) -> Cut:
    if strategy == "random":
        return cut_at_random(keys, spec.share, spec.seed, spec.repeat)
    return cut_by_time(keys, spec.share) if strategy == "time" else cut_user_last(keys, spec.share)


def explain_empty_test_part(rows: PartRows) -> str:
    """Return why nothing is held out in a test part, and what to do."""
    if len(rows.held_out):
        return (
            f"the test part is empty: nothing is left of its {len(rows.held_out)} new rows after returns are "
            "subtracted; set interactions.negative_weights to drop, or split.strategy to random"
        )
    if len(rows.repeats) >= len(rows.history):
        return (
            f"the test part has no new pairs: {len(rows.repeats)} rows repeat a user and item of the "
            "training set; set split.repeat to allow, or split.strategy to random"
        )
    return (
        f"the test part is empty: its {len(rows.history)} rows are the first of users without earlier rows; "
        "set split.strategy to random, or add data"
    )
