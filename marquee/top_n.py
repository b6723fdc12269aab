"""Top-N lists: the N best unseen items of each user.

Equal scores are ordered by a hash of user and item. The order of inner ids would put items that appear early
in the data first. These are popular ones, so a model without any knowledge would get good lists.
"""

import numpy as np

from marquee.array_types import BlockScorer, Float32Array, Float64Array, FloatArray, Int32Array, Int64Array
from marquee.errors import DivergedError
from marquee.hashing import hash_pairs

MAX_PERSONAL_AGREEMENT = 0.9  # common share of two users' lists; above it, all get nearly the same list
PADDING = -1  # fills positions after the last unseen item; their score is NaN
USERS_PER_BLOCK = 256  # 256 rows of 30,000 scores take 60 MB


def recommend_top_n(
    score: BlockScorer, seen_indptr: Int64Array, seen_items: Int32Array, n_items: int, n: int
) -> tuple[Int32Array, Float32Array]:
    """Return the items and scores of each user's N best unseen items, best first.

    Ties go to the item with the lower `hash_pairs`. This is the reference implementation;
    `marquee.algorithms.top_n_retrieval` gives the same lists faster.

    Args:
        score: returns the scores of all items for a block of users, shape (n_block, n_items). Minus infinity
            excludes an item.
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: inner ids.
        n_items: number of items.
        n: length of the lists.

    Returns:
        Two arrays of shape (n_users, n), padded with `PADDING` and NaN.

    Raises:
        DivergedError: a score is NaN or plus infinity.

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
        check_scores(block, users, may_exclude=True)
        _mask_seen(block, users, seen_indptr, seen_items)
        items[users, :width], scores[users, :width] = _best_columns(block, users, width)
    return items, scores


def check_scores(
    scores: FloatArray, users: Int32Array, first_item: int = 0, *, may_exclude: bool = False
) -> None:
    """Check that scores can be ordered.

    Args:
        scores: scores of consecutive items for a block of users, shape (n_block, n).
        users: inner ids of these users, named in the message.
        first_item: inner id of the first of the items.
        may_exclude: a score of minus infinity is valid; it excludes the item.

    Raises:
        DivergedError: a score is NaN or infinite.
    """
    is_valid = scores < np.inf if may_exclude else np.isfinite(scores)
    if is_valid.all():
        return
    row, column = np.argwhere(~is_valid)[0]
    raise DivergedError(
        f"scores must be finite to rank items by them (got {scores[row, column]} for user {users[row]}, item "
        f"{first_item + column}); lower the learning rates or raise the regularization"
    )


def _mask_seen(block: Float64Array, users: Int32Array, indptr: Int64Array, seen: Int32Array) -> None:
    """Set the scores of seen items to minus infinity, in place."""
    start, stop = indptr[users[0]], indptr[users[-1] + 1]
    rows = np.repeat(np.arange(len(users)), np.diff(indptr[users[0] : users[-1] + 2]))
    block[rows, seen[start:stop]] = -np.inf


def _best_columns(block: Float64Array, users: Int32Array, n: int) -> tuple[Int32Array, Float32Array]:
    """Return the n best columns of each row in order; seen and excluded items become padding."""
    hashes = hash_pairs(users[:, None], np.arange(block.shape[1]))
    columns = np.lexsort((hashes, -block), axis=1)[:, :n]
    scores = np.take_along_axis(block, columns, axis=1)
    is_excluded = np.isneginf(scores)
    return (
        np.where(is_excluded, PADDING, columns).astype(np.int32),
        np.where(is_excluded, np.nan, scores).astype(np.float32),
    )
