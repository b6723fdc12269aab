"""Lists of many users at once, equal to those that `Recommender` gives to each of them.

Stored lists of a block of users are filtered together. The fallback chain computes only the lists of users
whose stored list is too short after the filters, who have feedback since training, or who are not in the
training data. If rules change the order of stored lists or limit what they may contain, it computes
all lists.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from marquee.array_types import BoolArray, Float32Array, Int8Array, Int32Array, Int64Array
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING
from service.recommendation.list_selection import FALLBACK_LEVELS
from service.recommendation.recent_activity import RecentActivity
from service.recommendation.recommender import (
    RecommendationRequest,
    Recommendations,
    Recommender,
    UserContext,
)
from service.recommendation.user_context import build_user_context

UNKNOWN_USER = -1  # inner id of users who are not in the training data


@dataclass(frozen=True)
class UserBlock:
    """Users whose lists are computed together.

    Attributes:
        ids: user ids.
        inner_ids: inner ids, or `UNKNOWN_USER`.
    """

    ids: Sequence[str]
    inner_ids: Int32Array

    def __len__(self) -> int:
        """Number of users."""
        return len(self.inner_ids)


@dataclass(frozen=True)
class ListBlock:
    """Lists of a block of users, a row for each.

    Attributes:
        users: the users.
        items: inner ids, best first, padded at the end with `PADDING`, (n_users, n).
        scores: score of each item; NaN where the item was not scored, (n_users, n).
        levels: fallback level of each list, as a position in `FALLBACK_LEVELS`, (n_users,).
    """

    users: UserBlock
    items: Int32Array
    scores: Float32Array
    levels: Int8Array

    @property
    def lengths(self) -> Int32Array:
        """Number of items in each list, (n_users,)."""
        lengths: Int32Array = (self.items != PADDING).sum(axis=1, dtype=np.int32)
        return lengths


class BlockRecommender:
    """Recommends items to blocks of users.

    Args:
        recommender: gives the lists that cannot be taken from stored lists.
        n: length of the lists. They are shorter only if fewer items can be recommended.
        activity: feedback of users since training; None: no user has any.
    """

    def __init__(self, recommender: Recommender, n: int, activity: RecentActivity | None = None) -> None:
        arrays = recommender.model.arrays
        self._recommender = recommender
        self._activity = activity or RecentActivity()
        self._width = min(n, len(arrays.items))
        self._top_items, self._top_scores = arrays.top_items, arrays.top_scores
        self._stored_level = FALLBACK_LEVELS.index(recommender.stored_list_level)
        rules = recommender.compiled_rules
        only_filters = not (rules.reorders or rules.pins or rules.caps)
        self._can_copy = only_filters and self._width <= self._top_items.shape[1]

    @property
    def width(self) -> int:
        """Length of the longest possible list."""
        return self._width

    def recommend(self, users: UserBlock) -> ListBlock:
        """Return the lists of a block of users."""
        shape = (len(users), self._width)
        lists = ListBlock(
            users,
            np.full(shape, PADDING, dtype=np.int32),
            np.full(shape, np.nan, dtype=np.float32),
            np.full(len(users), self._stored_level, dtype=np.int8),
        )
        is_active = self._find_active_users(users)
        is_complete = np.zeros(len(users), dtype=bool)
        if self._can_copy:
            is_complete = self._copy_stored_lists(lists, (users.inner_ids != UNKNOWN_USER) & ~is_active)
        self._fill_from_chain(lists, np.flatnonzero(~is_complete), is_active)
        return lists

    def _find_active_users(self, users: UserBlock) -> BoolArray:
        """Return True for each user with feedback since training."""
        if not len(self._activity):
            return np.zeros(len(users), dtype=bool)
        flags = (bool(self._activity.events_by_item(user)) for user in users.ids)
        return np.fromiter(flags, bool, len(users))

    def _copy_stored_lists(self, lists: ListBlock, is_eligible: BoolArray) -> BoolArray:
        """Copy the stored lists of eligible users that are long enough after filtering.

        Returns:
            True for each user whose list was copied.
        """
        is_complete = np.zeros(len(lists.users), dtype=bool)
        rows = np.flatnonzero(is_eligible)
        visible = self._recommender.visible_items(time.time()).mask
        for n_columns in (self._width, self._top_items.shape[1]):  # most lists need no more than their start
            inner_ids = lists.users.inner_ids[rows]
            items = self._top_items[:, :n_columns][inner_ids]
            selected = _select_first(visible[items] & (items != PADDING), self._width)
            has_enough = selected.sum(axis=1) == self._width
            copied, selected = rows[has_enough], selected[has_enough]
            scores = self._top_scores[:, :n_columns][inner_ids[has_enough]]
            lists.items[copied] = items[has_enough][selected].reshape(-1, self._width)
            lists.scores[copied] = scores[selected].reshape(-1, self._width)
            is_complete[copied] = True
            rows = rows[~has_enough]
        return is_complete

    def _fill_from_chain(self, lists: ListBlock, rows: Int64Array, is_active: BoolArray) -> None:
        """Compute the lists of these rows one by one. All unknown users without feedback get the same one."""
        request, for_unknown = RecommendationRequest(self._width), None
        for row in rows.tolist():
            inner_id = int(lists.users.inner_ids[row])
            if is_active[row]:
                recommendations = self._recommender.recommend(self._context(lists.users.ids[row]), request)
            elif inner_id != UNKNOWN_USER:
                recommendations = self._recommender.recommend(UserContext(inner_id), request)
            else:
                for_unknown = for_unknown or self._recommender.recommend(UserContext(), request)
                recommendations = for_unknown
            _write_list(lists, row, recommendations)

    def _context(self, user: str) -> UserContext:
        return build_user_context(self._recommender.model, user, self._activity.events_by_item(user))


def iter_training_users(user_ids: StringTable, block_size: int) -> Iterator[UserBlock]:
    """Yield all users of the training data in blocks, in the order of their inner ids."""
    for start in range(0, len(user_ids), block_size):
        inner_ids = np.arange(start, min(start + block_size, len(user_ids)), dtype=np.int32)
        yield UserBlock(user_ids.slice(start, start + len(inner_ids)), inner_ids)


def _select_first(is_allowed: BoolArray, n: int) -> BoolArray:
    """Return True for the first n allowed columns of each row."""
    if is_allowed.shape[1] == n:
        return is_allowed
    return is_allowed & (np.cumsum(is_allowed, axis=1, dtype=np.int32) <= n)


def _write_list(lists: ListBlock, row: int, recommendations: Recommendations) -> None:
    for column, (item, score) in enumerate(recommendations.items):
        lists.items[row, column] = item
        lists.scores[row, column] = np.nan if score is None else score
    lists.levels[row] = FALLBACK_LEVELS.index(recommendations.fallback_level)
