"""Detection of recommenders that are not personal: (nearly) everybody gets the same list.

Even the most popular items are a different list for each user, because items that a user has seen are left
out. So lists are compared with those of one ranking for everybody, without the items that each user has seen:

    lists ─► share of the users who have not seen an item and get it ─► ranking for everybody
                                                                 └─ without seen items ─► lists
"""

import numpy as np

from marquee.algorithms.top_n_retrieval import recommend_from_scorer
from marquee.array_types import Float64Array, Int32Array, Int64Array
from marquee.top_n import PADDING

NEARLY_EQUAL = 0.9  # share of a list that another list must contain to be nearly the same
USERS_PER_BLOCK = 4096
MAX_COMMON_SHARE = 0.9  # above this share of users with nearly the same list, a recommender is not personal


def common_list_share(
    lists: Int32Array, seen_indptr: Int64Array, seen_items: Int32Array, n_items: int
) -> float:
    """Return the share of users whose list is nearly that of one ranking for everybody.

    1 for a recommender that orders items equally for all users. Users with an empty list are left out; NaN
    without any list.

    Args:
        lists: inner ids of each user's recommended items, padded with `marquee.top_n.PADDING`; (n_users, n).
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: inner ids of seen items.
        n_items: number of items.

    >>> lists, nothing_seen = np.array([[0, 1], [1, 0], [3, 2]], np.int32), np.zeros(4, np.int64)
    >>> round(common_list_share(lists, nothing_seen, np.zeros(0, np.int32), n_items=4), 4)
    0.6667
    """
    lengths = (lists != PADDING).sum(axis=1)
    if not lengths.any():
        return float("nan")
    ranking = _common_ranking(lists, seen_items, n_items)
    common, _ = recommend_from_scorer(
        lambda users: np.tile(ranking, (len(users), 1)), seen_indptr, seen_items, n_items, lists.shape[1]
    )
    n_common = np.concatenate(
        [
            count_common_items(
                lists[start : start + USERS_PER_BLOCK], common[start : start + USERS_PER_BLOCK]
            )
            for start in range(0, len(lists), USERS_PER_BLOCK)
        ]
    )
    has_list = lengths > 0
    return float((n_common[has_list] >= NEARLY_EQUAL * lengths[has_list]).mean())


def count_common_items(lists: Int32Array, others: Int32Array) -> Int64Array:
    """Return how many items of each list the other list of the same row contains, (n_users,)."""
    is_equal = (lists[:, :, None] == others[:, None, :]) & (lists[:, :, None] != PADDING)
    return np.asarray(is_equal.any(axis=2).sum(axis=1))


def _common_ranking(lists: Int32Array, seen_items: Int32Array, n_items: int) -> Float64Array:
    """Return a score for each item: the share of the users who have not seen it that get it."""
    n_shown = np.bincount(lists[lists != PADDING], minlength=n_items)
    n_unseen = len(lists) - np.bincount(seen_items, minlength=n_items)
    return np.asarray(n_shown / np.maximum(n_unseen, 1))
