"""Top-N lists: the N best unseen items of each user."""

import numpy as np

from marquee.array_types import BlockScorer, Float32Array, Float64Array, Int32Array, Int64Array

PADDING = -1  # fills positions after the last unseen item; their score is NaN
USERS_PER_BLOCK = 256  # 256 rows of 30,000 scores take 60 MB


def recommend_top_n(
    score: BlockScorer, seen_indptr: Int64Array, seen_items: Int32Array, n_items: int, n: int
) -> tuple[Int32Array, Float32Array]:
    """Return the items and scores of each user's N best unseen items, best first.

    Ties go to the lower inner id, also if only one of the tied items still fits in the list.

    Args:
        score: returns the scores of all items for a block of users, shape (n_block, n_items).
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: inner ids.
        n_items: number of items.
        n: length of the lists.

    Returns:
        Two arrays of shape (n_users, n), padded with `PADDING` and NaN.

    >>> scores = np.array([[0.1, 0.9, 0.5, 0.7]])
    >>> items, _ = recommend_top_n(
    ...     lambda users: scores[users], np.array([0, 1]), np.array([1], dtype=np.int32), n_items=4, n=2
    ... )
    >>> items.tolist()  # item 1 has been seen
    [[3, 2]]
    """
    n_users = len(seen_indptr) - 1
    items = np.full((n_users, n), PADDING, dtype=np.int32)
    scores = np.full((n_users, n), np.nan, dtype=np.float32)
    width = min(n, n_items)
    for start in range(0, n_users, USERS_PER_BLOCK):
        users = np.arange(start, min(start + USERS_PER_BLOCK, n_users), dtype=np.int32)
        block = np.array(score(users), dtype=np.float64)
        _mask_seen(block, users, seen_indptr, seen_items)
        items[users, :width], scores[users, :width] = _best_columns(block, width)
    return items, scores


def _mask_seen(block: Float64Array, users: Int32Array, indptr: Int64Array, seen: Int32Array) -> None:
    """Set the scores of seen items to minus infinity, in place."""
    start, stop = indptr[users[0]], indptr[users[-1] + 1]
    rows = np.repeat(np.arange(len(users)), np.diff(indptr[users[0] : users[-1] + 2]))
    block[rows, seen[start:stop]] = -np.inf


def _best_columns(block: Float64Array, n: int) -> tuple[Int32Array, Float32Array]:
    """Return the n best columns of each row in order; non-finite scores become padding."""
    rows = np.arange(len(block))[:, None]
    n_below = block.shape[1] - n
    threshold = np.partition(block, n_below, axis=1)[:, n_below, None]
    # Select all columns above the n-th best score, then the first columns equal to it until n are selected.
    above, equal = block > threshold, block == threshold
    n_ties = n - above.sum(axis=1, keepdims=True)
    selected = above | (equal & (np.cumsum(equal, axis=1) <= n_ties))
    columns = np.nonzero(selected)[1].reshape(len(block), n)
    order = np.argsort(-block[rows, columns], axis=1, kind="stable")
    columns = columns[rows, order]
    scores = block[rows, columns]
    is_masked = ~np.isfinite(scores)
    return (
        np.where(is_masked, PADDING, columns).astype(np.int32),
        np.where(is_masked, np.nan, scores).astype(np.float32),
    )
