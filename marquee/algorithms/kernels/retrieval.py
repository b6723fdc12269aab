"""The best N of many scores: one pass with a heap of the best so far, the worst of them on top.

Of equal scores the lower item number is the better: a list does not depend on how the items were tiled.
"""

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Float32Array, Float64Array, Int32Array, Int64Array

PADDING = -1
NOTHING = -float("inf")


@kernel
def take_best(
    scores: Float64Array,
    first_user: int,
    first_item: int,
    user_terms: Float64Array,
    item_terms: Float64Array,
    indptr: Int64Array,
    seen: Int32Array,
    heap_scores: Float64Array,
    heap_items: Int32Array,
) -> None:
    """Put a tile of scores, shape (users, items), into the heaps of its users; the tile is changed.

    To each score the term of its user and that of its item are added, in this order. What a user has seen
    is left out. Tiles of a user come in the order of their items.
    """
    n_users, n_items = scores.shape
    for u in range(n_users):
        row = scores[u]
        for at in range(indptr[first_user + u], indptr[first_user + u + 1]):
            item = seen[at] - first_item
            if 0 <= item < n_items:
                row[item] = NOTHING
        best, items = heap_scores[u], heap_items[u]
        term, worst = user_terms[u], best[0]
        for i in range(n_items):
            score = row[i] + (term + item_terms[i])
            if score > worst:
                best[0], items[0] = score, first_item + i
                _sink(best, items, 0, len(best))
                worst = best[0]


@kernel
def empty_heaps(heap_scores: Float64Array, heap_items: Int32Array) -> None:
    """Heaps in which everything finds room."""
    heap_scores[:] = NOTHING
    heap_items[:] = PADDING


@kernel
def write_sorted_lists(heap_scores: Float64Array, heap_items: Int32Array, out_items: Int32Array, out_scores: Float32Array) -> None:
    """Write the heaps as rows, best first, padded with `NONE` and NaN; the heaps are used up."""
    for u in range(len(heap_scores)):
        best, items = heap_scores[u], heap_items[u]
        for end in range(len(best) - 1, -1, -1):  # the worst that is left goes to the end
            found = best[0] > NOTHING
            out_items[u, end] = items[0] if found else PADDING
            out_scores[u, end] = best[0] if found else float("nan")
            best[0], items[0] = best[end], items[end]
            _sink(best, items, 0, end)


@kernel
def _sink(best: Float64Array, items: Int32Array, at: int, size: int) -> None:
    """Let an entry sink to where both below it are better."""
    score, item = best[at], items[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _worse(best[other], items[other], best[child], items[child]):
            child = other
        if not _worse(best[child], items[child], score, item):
            break
        best[at], items[at] = best[child], items[child]
        at = child
    best[at], items[at] = score, item


@kernel
def _worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Whether the first of two entries is the worse one."""
    return score < other_score or (score == other_score and item > other_item)
