"""Top-N lists of all users: the best unseen items of each user, computed without a full score matrix.

    users (a block)  ──┐
                       ├─► scores of a tile, in the cache ──► heaps of the block's users ──► lists
    items (a tile)   ──┘

Each tile of scores is used while it is in the cache, so each thread needs memory for one tile and one block
of heaps, regardless of the number of items. The lists equal those of `marquee.top_n.recommend_top_n` for the
same scores. Scores are compared in float64 and stored as float32.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TypeAlias

import numpy as np
import surprise

from marquee.algorithms.kernels.top_n_heaps import clear_heaps, push_scores, write_sorted_lists
from marquee.algorithms.reproducible_linear_algebra import multiply_packed, pack_panels
from marquee.algorithms.scoring import build_block_scorer
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import limit_threads, run_blocks
from marquee.array_types import BlockScorer, Float32Array, Float64Array, Int32Array, Int64Array

USERS_PER_BLOCK, ITEMS_PER_TILE = 256, 1024  # a tile has 2 MB of scores

ItemLists: TypeAlias = tuple[Int32Array, Float32Array]  # item ids and scores, (n_users, n), best first
ScoreTile: TypeAlias = tuple[int, Float64Array, Float64Array]  # first item, scores, a term for each item


def recommend_from_algorithm(
    algorithm: surprise.AlgoBase,
    seen_indptr: Int64Array,
    seen_items: Int32Array,
    n: int,
    out: ItemLists | None = None,
) -> ItemLists:
    """Return the n best unseen items of every user, with scores, according to a fitted algorithm.

    Args:
        algorithm: fitted algorithm.
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: inner ids of seen items.
        n: length of the lists; shorter ones are padded with `marquee.top_n.PADDING`.
        out: arrays to write to, such as memory-mapped files; shape (n_users, n), int32 and float32.
    """
    n_users = len(seen_indptr) - 1
    out = _empty_lists(n_users, n) if out is None else out
    if not isinstance(algorithm, FactorModel):
        n_items = algorithm.trainset.n_items
        is_random = getattr(algorithm, "is_random", False)  # if so, scores depend on the order of the blocks
        with limit_threads(1) if is_random else nullcontext():
            return recommend_from_scorer(
                build_block_scorer(algorithm), seen_indptr, seen_items, n_items, n, out
            )
    user_factors = np.asarray(
        algorithm.compute_user_factors(np.arange(n_users, dtype=np.int32)), dtype=np.float64
    )
    item_factors = np.asarray(algorithm.qi, dtype=np.float64)
    mean, bu, bi = _mean_and_biases(algorithm)
    return recommend_from_factors(
        (user_factors, mean + bu), (item_factors, bi), seen_indptr, seen_items, n, out
    )


def recommend_from_factors(
    users: tuple[Float64Array, Float64Array],
    items: tuple[Float64Array, Float64Array],
    seen_indptr: Int64Array,
    seen_items: Int32Array,
    n: int,
    out: ItemLists | None = None,
) -> ItemLists:
    """Return the n best unseen items of every user for scores :math:`p_u^T q_i + t_u + t_i`.

    Args:
        users: factors p (n_users, n_factors) and terms t (n_users,).
        items: factors q (n_items, n_factors) and terms t (n_items,).
        seen_indptr: see `recommend_from_algorithm`.
        seen_items: see `recommend_from_algorithm`.
        n: see `recommend_from_algorithm`.
        out: see `recommend_from_algorithm`.
    """
    (user_factors, user_terms), (item_factors, item_terms) = users, items
    n_users, n_items = len(user_factors), len(item_factors)
    out = _empty_lists(n_users, n) if out is None else out
    tiles = [
        (start, pack_panels(item_factors[start : start + ITEMS_PER_TILE].T))
        for start in range(0, n_items, ITEMS_PER_TILE)
    ]

    def fill_block(start: int, stop: int) -> None:
        block = np.ascontiguousarray(user_factors[start:stop])

        def score_tiles() -> Iterator[ScoreTile]:
            for first, panels in tiles:
                terms = item_terms[first : first + ITEMS_PER_TILE]
                scores = np.empty((len(block), len(terms)))
                multiply_packed(block, panels, scores)
                yield first, scores, terms

        _fill_lists(score_tiles(), user_terms[start:stop], (start, stop), (seen_indptr, seen_items), out)

    run_blocks(fill_block, n_users, USERS_PER_BLOCK)
    return out


def recommend_from_scorer(
    score: BlockScorer,
    seen_indptr: Int64Array,
    seen_items: Int32Array,
    n_items: int,
    n: int,
    out: ItemLists | None = None,
) -> ItemLists:
    """Return the n best unseen items of every user for a function that scores all items for a block of users.

    Args:
        score: function from inner user ids, shape (b,), to scores, shape (b, n_items).
        seen_indptr: see `recommend_from_algorithm`.
        seen_items: see `recommend_from_algorithm`.
        n_items: number of items.
        n: see `recommend_from_algorithm`.
        out: see `recommend_from_algorithm`.
    """
    n_users = len(seen_indptr) - 1
    out = _empty_lists(n_users, n) if out is None else out
    zeros = np.zeros(max(n_items, USERS_PER_BLOCK))

    def fill_block(start: int, stop: int) -> None:
        scores = np.array(score(np.arange(start, stop, dtype=np.int32)), dtype=np.float64)
        tiles = iter([(0, scores, zeros[:n_items])])
        _fill_lists(tiles, zeros[: stop - start], (start, stop), (seen_indptr, seen_items), out)

    run_blocks(fill_block, n_users, USERS_PER_BLOCK)
    return out


def _fill_lists(
    tiles: Iterator[ScoreTile],
    user_terms: Float64Array,
    users: tuple[int, int],
    seen: tuple[Int64Array, Int32Array],
    out: ItemLists,
) -> None:
    """Write the lists of users start..stop, from tiles in the order of their items."""
    (start, stop), (indptr, seen_items) = users, seen
    n = out[0].shape[1]
    heap_scores, heap_items = np.empty((stop - start, n)), np.empty((stop - start, n), np.int32)
    clear_heaps(heap_scores, heap_items)
    for first, scores, item_terms in tiles:
        push_scores(scores, start, first, user_terms, item_terms, indptr, seen_items, heap_scores, heap_items)
    write_sorted_lists(heap_scores, heap_items, out[0][start:stop], out[1][start:stop])


def _empty_lists(n_users: int, n: int) -> ItemLists:
    return np.empty((n_users, n), dtype=np.int32), np.empty((n_users, n), dtype=np.float32)


def _mean_and_biases(algorithm: FactorModel) -> tuple[float, Float64Array, Float64Array]:
    """Return the global mean and the biases of users and items, or zeros if the model has none."""
    trainset = algorithm.trainset
    if not algorithm.biased:
        return 0.0, np.zeros(trainset.n_users), np.zeros(trainset.n_items)
    return (
        float(trainset.global_mean),
        np.asarray(algorithm.bu, dtype=np.float64),
        np.asarray(algorithm.bi, dtype=np.float64),
    )
