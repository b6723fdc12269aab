"""Validation parts: training matrix and held-out pairs of each, read from the files of the stage `split`.

    rows.parquet ── rows of the part's training set ─► aggregate ─► training matrix
                 └─ held-out rows of the part ───────► aggregate ─► held-out pairs

Rows are aggregated inside each part, so that training values contain nothing that is held out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from marquee.algorithms.base import UNKNOWN
from marquee.algorithms.scoring import UserItemPairs
from marquee.array_types import BoolArray, Float64Array, Int32Array, Int64Array, RatingScale
from marquee.interactions.aggregation import RepeatsPolicy, aggregate
from marquee.interactions.columns import ITEM, USER, WEIGHT, value_column
from marquee.interactions.matrix import DEFAULT_SCALE, EncodedInteractions, InteractionMatrix
from marquee.interactions.parts import N_VALIDATION_PARTS, Cut, RepeatPolicy, RowKeys


@dataclass(frozen=True)
class Part:
    """One validation part.

    Attributes:
        train: training matrix; it includes the first interactions of newcomers.
        held_out: held-out pairs of user and item, with inner ids of the training matrix. Unless repeats are
            allowed, all of them are new to the user.
        user_numbers: number of each training user in all rows, by order of first appearance, (n_users,). The
            same user has the same number in every part.
        is_newcomer: True for users whose rows begin in this part, (n_users,).
        allows_repeats: True if items that a user has interacted with may be recommended.
    """

    train: InteractionMatrix
    held_out: UserItemPairs
    user_numbers: Int32Array
    is_newcomer: BoolArray
    allows_repeats: bool = False

    @property
    def seen(self) -> tuple[Int64Array, Int32Array]:
        """Items that must not be recommended, in CSR form by user: `indptr` and items."""
        if self.allows_repeats:
            return np.zeros(self.train.n_users + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
        return self.train.indptr, self.train.items


@dataclass(frozen=True)
class PartSource:
    """Files of the stage `split`; picklable, for worker processes.

    Attributes:
        rows: interactions before the test part, not aggregated, with the part of each row (Parquet).
        split: strategy and settings of the split (JSON).
        repeats: value of a user and item with several rows.
        scale: lowest and highest possible rating; None for implicit feedback.
    """

    rows: Path
    split: Path
    repeats: RepeatsPolicy
    scale: RatingScale | None

    def load(self) -> "Parts":
        """Read the files."""
        settings = json.loads(self.split.read_text(encoding="utf-8"))
        rows = pd.read_parquet(self.rows)
        return Parts(rows, Cut.from_frame(rows, settings["strategy"]), settings["repeat"], self)


class Parts(Sequence[Part]):
    """Validation parts of an interactions table, in memory.

    A part is built when it is first needed. Only the last one is kept, because each takes as much memory as
    the whole table.

    Args:
        rows: interactions before the test part.
        cut: part of each row.
        repeat: whether held-out pairs that a user has a training row of are excluded or allowed.
        source: how rows are aggregated.
    """

    def __init__(self, rows: pd.DataFrame, cut: Cut, repeat: RepeatPolicy, source: PartSource) -> None:
        self._cut, self._repeat, self._source = cut, repeat, source
        self._keys = RowKeys.from_frame(rows)
        self._user_ids = tuple(rows[USER].unique())
        items, item_ids = pd.factorize(rows[ITEM])
        self._item_ids = tuple(item_ids)
        numbers = {USER: self._keys.users.astype(np.int32), ITEM: items.astype(np.int32)}
        self._rows = rows.assign(**numbers)  # numbers are compared faster than texts
        self._value_column = value_column(rows)
        self._last_built: tuple[int, Part] | None = None

    def __len__(self) -> int:
        return N_VALIDATION_PARTS

    def __getitem__(self, number: int) -> Part:  # type: ignore[override]  # no slices
        if not 0 <= number < len(self):
            raise IndexError(number)
        if self._last_built is None or self._last_built[0] != number:
            self._last_built = None  # frees its memory before the next part is built
            self._last_built = number, self._build(number)
        return self._last_built[1]

    def held_out_values(self, number: int) -> tuple[Int32Array, Float64Array]:
        """Return the user numbers and the values of a part's held-out pairs, without building the part.

        Pairs of users who have neither training rows nor history are left out.
        """
        rows = self._cut.select_rows(number, self._keys.pairs, self._repeat)
        held_out = self._encode(rows.held_out)
        is_known = np.zeros(len(self._user_ids), dtype=bool)
        is_known[self._keys.users[rows.train]] = is_known[self._keys.users[rows.history]] = True
        has_history = is_known[held_out.users]
        return held_out.users[has_history], held_out.values[has_history]

    def _build(self, number: int) -> Part:
        rows = self._cut.select_rows(number, self._keys.pairs, self._repeat)
        train = self._encode(np.sort(np.concatenate([rows.train, rows.history])))
        held_out = self._encode(rows.held_out)
        users, items = pd.unique(train.users), pd.unique(train.items)
        matrix = InteractionMatrix.from_encoded(
            train.take(np.arange(len(train.users))), self._source.scale or DEFAULT_SCALE
        )
        pairs = UserItemPairs(
            _inner_ids(users, len(self._user_ids))[held_out.users],
            _inner_ids(items, len(self._item_ids))[held_out.items],
            held_out.values,
        )
        is_newcomer = ~np.isin(users, self._keys.users[rows.train])
        return Part(matrix, pairs, users.astype(np.int32), is_newcomer, self._repeat == "allow")

    def _encode(self, rows: Int64Array) -> EncodedInteractions:
        """Aggregate rows; users and items keep their numbers in the whole table."""
        pairs = aggregate(self._rows.iloc[rows], self._source.repeats)
        return EncodedInteractions(
            pairs[USER].to_numpy(dtype=np.int32),
            pairs[ITEM].to_numpy(dtype=np.int32),
            pairs[self._value_column].to_numpy(dtype=np.float64),
            self._user_ids,
            self._item_ids,
            "implicit" if self._value_column == WEIGHT else "explicit",
        )


def _inner_ids(numbers: Int32Array, n: int) -> Int32Array:
    """Return the position in `numbers` of each number below n, or UNKNOWN."""
    inner_ids = np.full(n, UNKNOWN, dtype=np.int32)
    inner_ids[numbers] = np.arange(len(numbers))
    return inner_ids
