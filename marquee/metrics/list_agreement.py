"""List agreement: how similar the lists of two users are, apart from items that either has seen."""

import numpy as np

from marquee.array_types import Int32Array, Int64Array
from marquee.top_n import PADDING

MAX_PAIRS = 2000  # pairs of users to compare
LIST_LENGTH = 10  # positions to compare


def list_agreement(lists: Int32Array, seen_indptr: Int64Array, seen_items: Int32Array) -> float:
    """Return the mean share of common items in two users' lists of items that neither has seen.

    1 for a model that ranks the items alike for all users, such as Popularity. Its lists differ, because seen
    items are left out, so personalization does not recognize it. Each list is reduced to the items that the
    other user has not seen, then both are cut to the same length, at most `LIST_LENGTH`. Pairs of users are
    drawn from a fixed sequence. NaN if no two lists can be compared.

    Args:
        lists: inner ids of each user's recommended items, best first, padded with `PADDING`; shape
            (n_users, N).
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: inner ids.

    >>> order = [[2, 3], [1, 3]]  # both users rank 1, 2, 3; the first has seen 1, the second 2
    >>> list_agreement(np.array(order), np.array([0, 1, 2]), np.array([1, 2]))
    1.0
    """
    users = np.random.default_rng(0).permutation(np.flatnonzero((lists != PADDING).any(axis=1)))
    shares = [
        _common_share(
            *(lists[[one, other]]), *(_seen(user, seen_indptr, seen_items) for user in (one, other))
        )
        for one, other in zip(users[:-1][:MAX_PAIRS], users[1:][:MAX_PAIRS], strict=True)
    ]
    return float(np.nanmean(shares)) if np.isfinite(shares).any() else float("nan")


def _common_share(
    one: Int32Array, other: Int32Array, seen_by_one: Int32Array, seen_by_other: Int32Array
) -> float:
    """Return the share of common items of two lists, each without the items that the other user has seen."""
    first, second = _unseen(one, seen_by_other), _unseen(other, seen_by_one)
    length = min(len(first), len(second), LIST_LENGTH)
    return len(np.intersect1d(first[:length], second[:length])) / length if length else float("nan")


def _unseen(items: Int32Array, seen: Int32Array) -> Int32Array:
    """Return the items of a list that are neither padding nor seen."""
    is_unseen = (items != PADDING) & ~np.isin(items, seen)
    return np.asarray(items[is_unseen])


def _seen(user: int, indptr: Int64Array, items: Int32Array) -> Int32Array:
    return items[indptr[user] : indptr[user + 1]]
