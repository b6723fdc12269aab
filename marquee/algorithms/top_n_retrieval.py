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
from typing import NamedTuple, TypeAlias

import numpy as np
import surprise
from scipy.sparse import csr_array

from marquee.algorithms.kernels.item_weights import TILE_VECTORS, pack_columns, sum_weighted_panel_rows
from marquee.algorithms.kernels.simd_vectors import VECTOR_BYTES
from marquee.algorithms.kernels.top_n_heaps import clear_heaps, push_scores, write_sorted_lists
from marquee.algorithms.product_ranker import ProductRanker, multiply_rows
from marquee.algorithms.reproducible_linear_algebra import multiply_packed, pack_panels
from marquee.algorithms.scoring import build_block_scorer
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import limit_threads, run_blocks
from marquee.array_types import BlockScorer, Float32Array, Float64Array, FloatArray, Int32Array, Int64Array
from marquee.top_n import check_scores

USERS_PER_BLOCK, ITEMS_PER_TILE = 256, 1024  # a tile has 2 MB of scores
# Products with a dense matrix: each panel of the matrix is read once per block, and packed once per chunk.
ROWS_PER_BLOCK, ROWS_PER_CHUNK, PANELS_PER_BLOCK = 1024, 65_536, 8
SCORES_PER_BLOCK = 1 << 18  # scores of products with a sparse matrix that a thread computes at a time: 1 MB

ItemLists: TypeAlias = tuple[Int32Array, Float32Array]  # item ids and scores, (n_users, n), best first
ScoreTile: TypeAlias = tuple[int, FloatArray, Float64Array]  # first item, scores, a term for each item


class SeenItems(NamedTuple):
    """Items that users have seen: those of user u are `items[indptr[u]:indptr[u + 1]]`."""

    indptr: Int64Array  # (n_users + 1,)
    items: Int32Array  # (n_seen,)


class Heaps(NamedTuple):
    """Best entries so far of some users, in the order of a heap with the worst entry on top."""

    users: Int32Array  # (n_users,)
    scores: Float64Array  # (n_users, n)
    items: Int32Array  # (n_users, n)

    @classmethod
    def create(cls, users: Int32Array, n: int) -> "Heaps":
        """Return empty heaps for lists of length n."""
        heaps = cls(users, np.empty((len(users), n)), np.empty((len(users), n), np.int32))
        clear_heaps(heaps.scores, heaps.items)
        return heaps

    def take(self, start: int, stop: int) -> "Heaps":
        """Return the heaps of consecutive users; they share memory with these."""
        return Heaps(self.users[start:stop], self.scores[start:stop], self.items[start:stop])

    def push(self, tile: ScoreTile, user_terms: Float64Array, seen: SeenItems) -> None:
        """Push a tile of scores; the tile is overwritten."""
        first, scores, item_terms = tile
        push_scores(scores, self.users, first, user_terms, item_terms, *seen, self.scores, self.items)


def recommend_from_algorithm(
    algorithm: surprise.AlgoBase,
    seen_indptr: Int64Array,
    seen_items: Int32Array,
    n: int,
    out: ItemLists | None = None,
    *,
    users: Int32Array | None = None,
) -> ItemLists:
    """Return the n best unseen items of users, with scores, according to a fitted algorithm.

    Args:
        algorithm: fitted algorithm.
        seen_indptr: user u has seen `seen_items[seen_indptr[u]:seen_indptr[u + 1]]`.
        seen_items: inner ids of seen items.
        n: length of the lists; shorter ones are padded with `marquee.top_n.PADDING`.
        out: arrays to write to, such as memory-mapped files; shape (len(users), n), int32 and float32.
        users: inner ids of the users; None: all users, in order.

    Raises:
        DivergedError: a score is NaN or infinite.
    """
    seen = SeenItems(seen_indptr, seen_items)
    users = _all_users(seen_indptr) if users is None else users
    out = _empty_lists(len(users), n) if out is None else out
    if isinstance(algorithm, FactorModel):
        item_factors = np.asarray(algorithm.qi, dtype=np.float64)
        user_factors = np.asarray(algorithm.compute_user_factors(users), dtype=np.float64)
        mean, bu, bi = _mean_and_biases(algorithm)
        return recommend_from_factors(
            (user_factors, mean + bu[users]), (item_factors, bi), *seen, n, out, users=users
        )
    if isinstance(algorithm, ProductRanker):
        return _recommend_from_products(algorithm, seen, users, out)
    n_items = algorithm.trainset.n_items
    is_random = getattr(algorithm, "is_random", False)  # if so, scores depend on the order of the blocks
    with limit_threads(1) if is_random else nullcontext():
        scorer = build_block_scorer(algorithm)
        return _recommend_from_scorer(scorer, seen, users, n_items, out, may_exclude=False)


def recommend_from_factors(
    users_and_terms: tuple[Float64Array, Float64Array],
    items_and_terms: tuple[Float64Array, Float64Array],
    seen_indptr: Int64Array,
    seen_items: Int32Array,
    n: int,
    out: ItemLists | None = None,
    *,
    users: Int32Array | None = None,
) -> ItemLists:
    """Return the n best unseen items of users for scores :math:`p_u^T q_i + t_u + t_i`.

    Args:
        users_and_terms: factors p (len(users), n_factors) and terms t (len(users),).
        items_and_terms: factors q (n_items, n_factors) and terms t (n_items,).
        seen_indptr: see `recommend_from_algorithm`.
        seen_items: see `recommend_from_algorithm`.
        n: see `recommend_from_algorithm`.
        out: see `recommend_from_algorithm`.
        users: see `recommend_from_algorithm`.

    Raises:
        DivergedError: a score is NaN or infinite.
    """
    (user_factors, user_terms), (item_factors, item_terms) = users_and_terms, items_and_terms
    seen, user_ids = SeenItems(seen_indptr, seen_items), _all_users(seen_indptr) if users is None else users
    lists = _empty_lists(len(user_ids), n) if out is None else out
    tiles = [
        (start, pack_panels(item_factors[start : start + ITEMS_PER_TILE].T))
        for start in range(0, len(item_factors), ITEMS_PER_TILE)
    ]

    def fill_block(start: int, stop: int) -> None:
        block = np.ascontiguousarray(user_factors[start:stop])

        def score_tiles() -> Iterator[ScoreTile]:
            for first, panels in tiles:
                terms = item_terms[first : first + ITEMS_PER_TILE]
                scores = np.empty((len(block), len(terms)))
                multiply_packed(block, panels, scores)
                check_scores(scores, user_ids[start:stop], first)
                yield first, scores, terms

        _fill_lists(score_tiles(), user_ids[start:stop], user_terms[start:stop], seen, lists, start)

    run_blocks(fill_block, len(user_ids), USERS_PER_BLOCK)
    return lists


def recommend_from_scorer(
    score: BlockScorer,
    seen_indptr: Int64Array,
    seen_items: Int32Array,
    n_items: int,
    n: int,
    out: ItemLists | None = None,
    *,
    users: Int32Array | None = None,
) -> ItemLists:
    """Return the n best unseen items of users for a function that scores all items for a block of users.

    Args:
        score: function from inner user ids, shape (b,), to scores, shape (b, n_items). Minus infinity
            excludes an item.
        seen_indptr: see `recommend_from_algorithm`.
        seen_items: see `recommend_from_algorithm`.
        n_items: number of items.
        n: see `recommend_from_algorithm`.
        out: see `recommend_from_algorithm`.
        users: see `recommend_from_algorithm`.

    Raises:
        DivergedError: a score is NaN or plus infinity.
    """
    seen, user_ids = SeenItems(seen_indptr, seen_items), _all_users(seen_indptr) if users is None else users
    lists = _empty_lists(len(user_ids), n) if out is None else out
    return _recommend_from_scorer(score, seen, user_ids, n_items, lists, may_exclude=True)


def _recommend_from_scorer(
    score: BlockScorer,
    seen: SeenItems,
    users: Int32Array,
    n_items: int,
    out: ItemLists,
    *,
    may_exclude: bool,
) -> ItemLists:
    """Write the lists of users for a function that scores all items for a block of users."""
    zeros = np.zeros(max(n_items, USERS_PER_BLOCK))

    def fill_block(start: int, stop: int) -> None:
        block = users[start:stop]
        scores = np.array(score(block), dtype=np.float64)
        check_scores(scores, block, may_exclude=may_exclude)
        _fill_lists(iter([(0, scores, zeros[:n_items])]), block, zeros[: len(block)], seen, out, start)

    run_blocks(fill_block, len(users), USERS_PER_BLOCK)
    return out


def _recommend_from_products(
    model: ProductRanker, seen: SeenItems, users: Int32Array, out: ItemLists
) -> ItemLists:
    """Write the lists of users for scores that are products of sparse rows with a matrix."""
    matrix = model.matrix
    for start in range(0, len(users), ROWS_PER_CHUNK):
        chunk = users[start : start + ROWS_PER_CHUNK]
        heaps, rows = Heaps.create(chunk, out[0].shape[1]), model.build_left_rows(chunk)
        if isinstance(matrix, np.ndarray):
            for first in range(0, matrix.shape[1], ITEMS_PER_TILE):
                _push_products(rows, matrix, first, heaps, seen)
        else:
            _push_sparse_products(rows, matrix, heaps, seen)
        stop = start + len(chunk)
        write_sorted_lists(*heaps, out[0][start:stop], out[1][start:stop])
    return out


def _push_sparse_products(rows: csr_array, matrix: csr_array, heaps: Heaps, seen: SeenItems) -> None:
    """Push the products of sparse rows with a sparse matrix onto heaps."""
    n_items = matrix.shape[1]
    rows_per_block = max(1, SCORES_PER_BLOCK // n_items)
    zeros = np.zeros(max(n_items, rows_per_block))

    def push_block(start: int, stop: int) -> None:
        scores = np.empty((stop - start, n_items), matrix.dtype)
        multiply_rows(rows[start:stop], matrix, scores, 0, stop - start)
        check_scores(scores, heaps.users[start:stop])
        heaps.take(start, stop).push((0, scores, zeros[:n_items]), zeros[: stop - start], seen)

    run_blocks(push_block, len(heaps.users), rows_per_block)


def _push_products(rows: csr_array, weights: FloatArray, first: int, heaps: Heaps, seen: SeenItems) -> None:
    """Push the products of sparse rows with a tile of the columns of a dense matrix onto heaps."""
    n_columns = min(ITEMS_PER_TILE, weights.shape[1] - first)
    width = TILE_VECTORS * VECTOR_BYTES // weights.itemsize
    panels = np.empty((-(-n_columns // width), len(weights), width), weights.dtype)
    run_blocks(
        lambda start, stop: pack_columns(weights, first, panels, start, stop), len(panels), PANELS_PER_BLOCK
    )
    arrays = rows.indptr, rows.indices, rows.data
    zeros = np.zeros(max(n_columns, ROWS_PER_BLOCK))

    def push_block(start: int, stop: int) -> None:
        products = np.empty((stop - start, len(panels) * width), weights.dtype)
        sum_weighted_panel_rows(*arrays, panels, products, start, stop)
        scores = products[:, :n_columns]
        check_scores(scores, heaps.users[start:stop], first)
        tile = first, scores, zeros[:n_columns]
        heaps.take(start, stop).push(tile, zeros[: stop - start], seen)

    run_blocks(push_block, len(heaps.users), ROWS_PER_BLOCK)


def _fill_lists(
    tiles: Iterator[ScoreTile],
    users: Int32Array,
    user_terms: Float64Array,
    seen: SeenItems,
    out: ItemLists,
    start: int,
) -> None:
    """Write the lists of a block of users to the rows of `out` from `start` on."""
    heaps, rows = Heaps.create(users, out[0].shape[1]), slice(start, start + len(users))
    for tile in tiles:
        heaps.push(tile, user_terms, seen)
    write_sorted_lists(*heaps, out[0][rows], out[1][rows])


def _all_users(seen_indptr: Int64Array) -> Int32Array:
    return np.arange(len(seen_indptr) - 1, dtype=np.int32)


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
