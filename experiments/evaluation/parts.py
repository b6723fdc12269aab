"""Validation parts: training matrix and held-out pairs of each, read from the files of the stage `split`.

    rows.parquet ─┬─ rows of the part's training set ─► aggregate ─► training matrix
                  ├─ first rows of its newcomers ─────► aggregate ─► histories
                  └─ held-out rows of the part ───────► aggregate ─► held-out pairs

Rows are aggregated inside each part, so that training values contain nothing that is held out. Histories are
rows of the held-out window; they are not trained on, but folded in.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.evaluation.audience import NO_HISTORIES, Audience, group_histories
from marquee.algorithms.base import UNKNOWN
from marquee.algorithms.scoring import UserItemPairs
from marquee.algorithms.top_n_retrieval import SeenItems
from marquee.array_types import Float64Array, Int32Array, Int64Array, RatingScale
from marquee.interactions.aggregation import RepeatsPolicy, aggregate
from marquee.interactions.columns import ITEM, TIMESTAMP, USER, WEIGHT, value_column
from marquee.interactions.matrix import DEFAULT_SCALE, EncodedInteractions, InteractionMatrix, SparseRows
from marquee.interactions.parts import N_VALIDATION_PARTS, Cut, RepeatPolicy, RowKeys


@dataclass(frozen=True)
class Part:
    """One validation part.

    Attributes:
        train: training matrix.
        held_out: held-out pairs of user and item, with ids of the audience: the inner ids of the training
            matrix and, after them, the newcomers. Unless repeats are allowed, all pairs are new to the user.
        user_numbers: number of each user of the audience in all rows, by order of first appearance,
            (n_users,). The same user has the same number in every part.
        histories: first interactions of the newcomers, the users whose rows begin in this part.
        allows_repeats: True if items that a user has interacted with may be recommended.
    """

    train: InteractionMatrix
    held_out: UserItemPairs
    user_numbers: Int32Array
    histories: SparseRows = NO_HISTORIES
    allows_repeats: bool = False

    @cached_property
    def audience(self) -> Audience:
        """Training users and newcomers."""
        return Audience(self.train, self.histories, self.allows_repeats)

    @property
    def seen(self) -> SeenItems:
        """Items that must not be recommended to each user of the audience."""
        return self.audience.seen


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
        train, history, held_out = (self._encode(each) for each in (rows.train, rows.history, rows.held_out))
        newcomers, items = pd.unique(history.users), pd.unique(train.items)
        users = np.concatenate([pd.unique(train.users), newcomers]).astype(np.int32)
        matrix = InteractionMatrix.from_encoded(
            train.take(np.arange(len(train.users))), self._source.scale or DEFAULT_SCALE
        )
        histories = group_histories(self._number_pairs(history, newcomers, items), len(newcomers))
        pairs = self._number_pairs(held_out, users, items)
        return Part(matrix, pairs, users, histories, self._repeat == "allow")

    def _number_pairs(
        self, encoded: EncodedInteractions, users: Int32Array, items: Int32Array
    ) -> UserItemPairs:
        """Replace the numbers of users and items by their positions in these arrays, or by UNKNOWN."""
        return UserItemPairs(
            _inner_ids(users, len(self._user_ids))[encoded.users],
            _inner_ids(items, len(self._item_ids))[encoded.items],
            encoded.values,
        )

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
            pairs[TIMESTAMP].to_numpy(dtype=np.int64) if TIMESTAMP in pairs else None,
        )


def _inner_ids(numbers: Int32Array, n: int) -> Int32Array:
    """Return the position in `numbers` of each number below n, or UNKNOWN."""
    inner_ids = np.full(n, UNKNOWN, dtype=np.int32)
    inner_ids[numbers] = np.arange(len(numbers))
    return inner_ids
