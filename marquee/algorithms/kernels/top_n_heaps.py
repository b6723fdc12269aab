"""Kernels of top-N retrieval: one pass over the scores with a heap of the best N, the worst on top.

Of two equal scores of a user, the one whose item has the lower hash is better (`marquee.hashing`), so a list
does not depend on the tiling of items.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float32Array, Float64Array, FloatArray, Int32Array, Int64Array
from marquee.hashing import HALF_BITS, INCREMENT, MULTIPLIERS, SHIFTS

PADDING = -1  # item of an empty entry
EMPTY_SCORE = -float("inf")  # score of an empty entry
SHIFT_1, SHIFT_2, SHIFT_3, SHIFT_USER = (np.uint64(shift) for shift in (*SHIFTS, HALF_BITS))
MULTIPLIER_1, MULTIPLIER_2, HASH_INCREMENT = (np.uint64(value) for value in (*MULTIPLIERS, INCREMENT))


@kernel
def push_scores(
    scores: FloatArray,
    users: Int32Array,
    first_item: int,
    user_terms: Float64Array,
    item_terms: Float64Array,
    indptr: Int64Array,
    seen_items: Int32Array,
    heap_scores: Float64Array,
    heap_items: Int32Array,
) -> None:
    """Push a tile of scores, shape (users, items), onto the heaps of its users; the tile is overwritten.

    The score of a pair is the tile's value plus the sum of its user term and item term, added in this order.
    Items that a user has seen are excluded.
    """
    n_items = scores.shape[1]
    for u in range(len(users)):
        user, row = users[u], scores[u]
        for position in range(indptr[user], indptr[user + 1]):
            item = seen_items[position] - first_item
            if 0 <= item < n_items:
                row[item] = EMPTY_SCORE
        best_scores, best_items = heap_scores[u], heap_items[u]
        term, worst = user_terms[u], best_scores[0]
        for i in range(n_items):
            score = row[i] + (term + item_terms[i])
            if score > worst or (score == worst and _precedes(user, first_item + i, best_items[0])):
                best_scores[0], best_items[0] = score, first_item + i
                _sift_down(best_scores, best_items, user, 0, len(best_scores))
                worst = best_scores[0]


@kernel
def push_entry(heap_scores: Float64Array, heap_items: Int32Array, user: int, score: float, item: int) -> None:
    """Replace the worst entry of a heap if the given one is better."""
    if score > heap_scores[0] or (score == heap_scores[0] and _precedes(user, item, heap_items[0])):
        heap_scores[0], heap_items[0] = score, item
        _sift_down(heap_scores, heap_items, user, 0, len(heap_scores))


@kernel
def clear_heaps(heap_scores: Float64Array, heap_items: Int32Array) -> None:
    """Reset heaps to empty entries."""
    heap_scores[:] = EMPTY_SCORE
    heap_items[:] = PADDING


@kernel
def write_sorted_lists(
    users: Int32Array,
    heap_scores: Float64Array,
    heap_items: Int32Array,
    out_items: Int32Array,
    out_scores: Float32Array,
) -> None:
    """Write the heaps as rows, best first, padded with `PADDING` and NaN; the heaps are overwritten."""
    for u in range(len(users)):
        scores, items = heap_scores[u], heap_items[u]
        for end in range(len(scores) - 1, -1, -1):  # the worst entry left goes to the end
            is_filled = scores[0] > EMPTY_SCORE
            out_items[u, end] = items[0] if is_filled else PADDING
            out_scores[u, end] = scores[0] if is_filled else float("nan")
            scores[0], items[0] = scores[end], items[end]
            _sift_down(scores, items, users[u], 0, end)


@kernel
def _sift_down(scores: Float64Array, items: Int32Array, user: int, position: int, size: int) -> None:
    """Move an entry down the heap until both entries below it are better."""
    score, item = scores[position], items[position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _is_worse(user, scores[other], items[other], scores[child], items[child]):
            child = other
        if not _is_worse(user, scores[child], items[child], score, item):
            break
        scores[position], items[position] = scores[child], items[child]
        position = child
    scores[position], items[position] = score, item


@kernel
def _is_worse(user: int, score: float, item: int, other_score: float, other_item: int) -> bool:
    """Return True if the first of two entries is worse than the second."""
    return score < other_score or (score == other_score and _precedes(user, other_item, item))


@kernel
def _precedes(user: int, item: int, other_item: int) -> bool:
    """Return True if the first of two items with equal scores is better; an empty entry is worse than any."""
    if item < 0 or other_item < 0:
        return False
    return bool(_hash_pair(user, item) < _hash_pair(user, other_item))


@kernel
def _hash_pair(user: int, item: int) -> np.uint64:
    """Return the number of `marquee.hashing.hash_pairs`."""
    key = ((np.uint64(user) << SHIFT_USER) | np.uint64(item)) + HASH_INCREMENT
    key = (key ^ (key >> SHIFT_1)) * MULTIPLIER_1
    key = (key ^ (key >> SHIFT_2)) * MULTIPLIER_2
    return key ^ (key >> SHIFT_3)
