"""The best N items of every user: score, leave out what was seen, take the best."""

import numpy as np

from marquee.arrays import Floats, Indices, Integers, ScoreBlock, Scores

NONE = -1  # fills the row of a user who has fewer than N unseen items; its score is NaN
BLOCK = 256  # users at a time: 256 rows of 30,000 scores are 60 MB


def top_n(
    score: ScoreBlock, seen_indptr: Indices, seen_items: Integers, n_items: int, n: int
) -> tuple[Integers, Scores]:
    """Item numbers and scores of each user's best N unseen items, best first.

    Args:
        score: scores of all items for a block of users, shape (block, n_items).
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: item numbers.
        n_items: number of items.
        n: how many to take; rows are padded with `NONE` where there are fewer.

    Equal scores go to the lower item number, at the cut as well: the same scores always give the
    same list.
    """
    n_users = len(seen_indptr) - 1
    items = np.full((n_users, n), NONE, dtype=np.int32)
    scores = np.full((n_users, n), np.nan, dtype=np.float32)
    for start in range(0, n_users, BLOCK):
        users = np.arange(start, min(start + BLOCK, n_users), dtype=np.int32)
        block = np.array(score(users), dtype=np.float64)
        _leave_out_seen(block, users, seen_indptr, seen_items)
        width = min(n, n_items)
        items[users, :width], scores[users, :width] = _best(block, width)
    return items, scores


def _leave_out_seen(block: Floats, users: Integers, indptr: Indices, seen: Integers) -> None:
    """Set the scores of seen items to minus infinity, in place."""
    start, stop = indptr[users[0]], indptr[users[-1] + 1]
    rows = np.repeat(np.arange(len(users)), np.diff(indptr[users[0] : users[-1] + 2]))
    block[rows, seen[start:stop]] = -np.inf


def _best(block: Floats, n: int) -> tuple[Integers, Scores]:
    """The n best columns of each row in order; those at minus infinity become padding."""
    rows = np.arange(len(block))[:, None]
    threshold = np.partition(block, block.shape[1] - n, axis=1)[:, block.shape[1] - n, None]
    # All above the n-th score are in. Of those equal to it, the first so many as there is room for.
    above, equal = block > threshold, block == threshold
    room = n - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= room))
    columns = np.nonzero(chosen)[1].reshape(len(block), n)
    order = np.argsort(-block[rows, columns], axis=1, kind="stable")
    columns = columns[rows, order]
    scores = block[rows, columns]
    left_out = ~np.isfinite(scores)
    return (
        np.where(left_out, NONE, columns).astype(np.int32),
        np.where(left_out, np.nan, scores).astype(np.float32),
    )
