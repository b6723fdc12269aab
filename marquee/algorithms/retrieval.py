"""Lists for everybody: the best N unseen items of each user, by one product of matrices and one pass.

    users (a block)  ──┐
                       ├─ scores of a tile, in the cache ─► heaps of the block's users ─► lists
    items (a tile)   ──┘

A tile is scored and read while it is in the cache, so a catalogue of any size takes the memory of one tile
and one block of heaps a thread. Lists are those of `marquee.top_n.top_n` on the same scores; scores are
float64 while they are compared, and stored as float32.
"""

from collections.abc import Iterator

import numpy as np
import surprise

from marquee.algorithms.kernels.retrieval import empty_heaps, lay_out, take_best
from marquee.algorithms.scoring import score_all
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import ONE_BLAS_THREAD, share_out
from marquee.arrays import Floats, Indices, Integers, ScoreBlock, Scores

USERS, ITEMS = 256, 1024  # of a tile: two megabytes of scores
Lists = tuple[Integers, Scores]


def best_lists(
    algorithm: surprise.AlgoBase, seen_indptr: Indices, seen_items: Integers, n: int, out: Lists | None = None
) -> Lists:
    """Item numbers and scores of each user's best N unseen items, best first.

    Args:
        algorithm: fitted.
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: item numbers.
        n: how many; rows are padded with `marquee.top_n.NONE` where there are fewer.
        out: where to write, shape (n_users, n), int32 and float32: arrays, or files mapped into memory.
    """
    out = _room(len(seen_indptr) - 1, n) if out is None else out
    if not isinstance(algorithm, FactorModel):
        return block_lists(score_all(algorithm), seen_indptr, seen_items, algorithm.trainset.n_items, n, out)
    users = np.arange(len(seen_indptr) - 1, dtype=np.int32)
    factors = np.asarray(algorithm.user_factors(users), dtype=np.float64)
    mean, bu, bi = _biases(algorithm)
    return factor_lists(
        (factors, mean + bu), (np.asarray(algorithm.qi, np.float64), bi), seen_indptr, seen_items, n, out
    )


def factor_lists(
    users: tuple[Floats, Floats],
    items: tuple[Floats, Floats],
    seen_indptr: Indices,
    seen_items: Integers,
    n: int,
    out: Lists | None = None,
) -> Lists:
    """The same from factors (n_users, k), (n_items, k) and what is added for each user and item."""
    (user_factors, user_terms), (item_factors, item_terms) = users, items
    n_users, n_items = len(user_factors), len(item_factors)
    out = _room(n_users, n) if out is None else out
    tiles = [
        (start, np.ascontiguousarray(item_factors[start : start + ITEMS].T))
        for start in range(0, n_items, ITEMS)
    ]

    def work(start: int, stop: int) -> None:
        block = np.ascontiguousarray(user_factors[start:stop])

        def scored() -> Iterator[tuple[int, Floats, Floats]]:
            for first, transposed in tiles:
                yield first, block @ transposed, item_terms[first : first + ITEMS]

        _fill(scored(), user_terms[start:stop], (start, stop), (seen_indptr, seen_items), out)

    with ONE_BLAS_THREAD:  # blocks share the cores already
        share_out(work, n_users, USERS)
    return out


def block_lists(
    score: ScoreBlock,
    seen_indptr: Indices,
    seen_items: Integers,
    n_items: int,
    n: int,
    out: Lists | None = None,
) -> Lists:
    """The same from a function that scores all items for a block of users."""
    out = _room(len(seen_indptr) - 1, n) if out is None else out
    nothing = np.zeros(max(n_items, USERS))

    def work(start: int, stop: int) -> None:
        scores = np.array(score(np.arange(start, stop, dtype=np.int32)), dtype=np.float64)
        tile = iter([(0, scores, nothing[:n_items])])
        _fill(tile, nothing[: stop - start], (start, stop), (seen_indptr, seen_items), out)

    share_out(work, len(seen_indptr) - 1, USERS)
    return out


def _fill(
    tiles: Iterator[tuple[int, Floats, Floats]],
    user_terms: Floats,
    users: tuple[int, int],
    seen: tuple[Indices, Integers],
    out: Lists,
) -> None:
    """The lists of a block of users, from tiles of scores in the order of their items."""
    (start, stop), (indptr, seen_items) = users, seen
    width = out[0].shape[1]
    heap_scores, heap_items = np.empty((stop - start, width)), np.empty((stop - start, width), np.int32)
    empty_heaps(heap_scores, heap_items)
    for first, scores, item_terms in tiles:
        take_best(scores, start, first, user_terms, item_terms, indptr, seen_items, heap_scores, heap_items)
    lay_out(heap_scores, heap_items, out[0][start:stop], out[1][start:stop])


def _room(n_users: int, n: int) -> Lists:
    return np.empty((n_users, n), dtype=np.int32), np.empty((n_users, n), dtype=np.float32)


def _biases(algorithm: FactorModel) -> tuple[float, Floats, Floats]:
    """The mean, and the biases of users and items; zeros where there are none."""
    trainset = algorithm.trainset
    if not algorithm.biased:
        return 0.0, np.zeros(trainset.n_users), np.zeros(trainset.n_items)
    return (
        float(trainset.global_mean),
        np.asarray(algorithm.bu, dtype=np.float64),
        np.asarray(algorithm.bi, dtype=np.float64),
    )
