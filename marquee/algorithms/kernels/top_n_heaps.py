"""Kernels of top-N retrieval: one pass over the scores with a heap of the best N, the worst on top.

Of two equal scores, the one with the lower inner id is better, so a list does not depend on the tiling of
items.
"""

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float32Array, Float64Array, Int32Array, Int64Array

PADDING = -1  # item of an empty entry
EMPTY_SCORE = -float("inf")  # score of an empty entry


@kernel
def push_scores(
    scores: Float64Array,
    first_user: int,
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
    Items that a user has seen are excluded. The tiles of a user must come in ascending order of items.
    """
    n_users, n_items = scores.shape
    for u in range(n_users):
        row = scores[u]
        for position in range(indptr[first_user + u], indptr[first_user + u + 1]):
            item = seen_items[position] - first_item
            if 0 <= item < n_items:
                row[item] = EMPTY_SCORE
        best_scores, best_items = heap_scores[u], heap_items[u]
        term, worst = user_terms[u], best_scores[0]
        for i in range(n_items):
            score = row[i] + (term + item_terms[i])
            if score > worst:
                best_scores[0], best_items[0] = score, first_item + i
                _sift_down(best_scores, best_items, 0, len(best_scores))
                worst = best_scores[0]


@kernel
def clear_heaps(heap_scores: Float64Array, heap_items: Int32Array) -> None:
    """Reset heaps to empty entries."""
    heap_scores[:] = EMPTY_SCORE
    heap_items[:] = PADDING


@kernel
def write_sorted_lists(
    heap_scores: Float64Array, heap_items: Int32Array, out_items: Int32Array, out_scores: Float32Array
) -> None:
    """Write the heaps as rows, best first, padded with `PADDING` and NaN; the heaps are overwritten."""
    for u in range(len(heap_scores)):
        scores, items = heap_scores[u], heap_items[u]
        for end in range(len(scores) - 1, -1, -1):  # the worst entry left goes to the end
            is_filled = scores[0] > EMPTY_SCORE
            out_items[u, end] = items[0] if is_filled else PADDING
            out_scores[u, end] = scores[0] if is_filled else float("nan")
            scores[0], items[0] = scores[end], items[end]
            _sift_down(scores, items, 0, end)


@kernel
def _sift_down(scores: Float64Array, items: Int32Array, position: int, size: int) -> None:
    """Move an entry down the heap until both entries below it are better."""
    score, item = scores[position], items[position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _is_worse(scores[other], items[other], scores[child], items[child]):
            child = other
        if not _is_worse(scores[child], items[child], score, item):
            break
        scores[position], items[position] = scores[child], items[child]
        position = child
    scores[position], items[position] = score, item


@kernel
def _is_worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Return True if the first of two entries is worse than the second."""
    return score < other_score or (score == other_score and item > other_item)
