"""Detection of recommenders that give everybody nearly the same list."""

from math import isnan

import numpy as np

from experiments.evaluation.common_lists import MAX_COMMON_SHARE, common_list_share
from marquee.algorithms.top_n_retrieval import recommend_from_scorer
from marquee.array_types import Float64Array, Int32Array, Int64Array
from marquee.top_n import PADDING

N_USERS, N_ITEMS, N = 200, 60, 10


def draw_seen_items(rng: np.random.Generator) -> tuple[Int64Array, Int32Array]:
    """Return items seen by each user, in CSR form; low numbers are popular."""
    is_seen = rng.random((N_USERS, N_ITEMS)) < np.linspace(0.8, 0.05, N_ITEMS)
    indptr = np.concatenate([[0], np.cumsum(is_seen.sum(axis=1))])
    return indptr, np.flatnonzero(is_seen).astype(np.int32) % N_ITEMS


def share_of_common_lists(scores: Float64Array) -> float:
    indptr, items = draw_seen_items(np.random.default_rng(0))
    lists, _ = recommend_from_scorer(lambda users: scores[users], indptr, items, N_ITEMS, N)
    return common_list_share(lists, indptr, items, N_ITEMS)


def test_one_order_for_everybody_is_detected_although_lists_differ() -> None:
    order = np.arange(N_ITEMS, 0, -1.0)
    assert share_of_common_lists(np.tile(order, (N_USERS, 1))) == 1.0


def test_own_order_of_each_user_is_personal() -> None:
    scores = np.random.default_rng(1).random((N_USERS, N_ITEMS))
    assert share_of_common_lists(scores) < 0.05


def test_share_counts_the_users_with_the_common_order() -> None:
    scores = np.tile(np.arange(N_ITEMS, 0, -1.0), (N_USERS, 1))
    scores[::2] = np.random.default_rng(1).random((N_USERS // 2, N_ITEMS))
    share = share_of_common_lists(scores)
    assert 0.4 < share < 0.55 < MAX_COMMON_SHARE


def test_users_without_a_list_are_left_out() -> None:
    lists = np.array([[1, 2], [PADDING, PADDING]], dtype=np.int32)
    indptr, nothing = np.zeros(3, np.int64), np.zeros(0, np.int32)
    assert common_list_share(lists, indptr, nothing, 3) == 1.0
    assert isnan(common_list_share(lists[1:], indptr[:2], nothing, 3))
