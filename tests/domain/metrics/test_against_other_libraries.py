"""Metrics equal those of other libraries: `implicit` on random lists, RecTools on six users.

RecTools needs NumPy < 2 and cannot be installed beside Marquee. Its values below were computed with RecTools
0.19.0, NumPy 1.26.4 and pandas 2.3.3.
"""

import numpy as np
import pytest
from implicit.evaluation import ranking_metrics_at_k
from scipy.sparse import csr_matrix

from marquee.array_types import Float64Array, Int32Array
from marquee.interactions.matrix import EncodedInteractions, InteractionMatrix
from marquee.metrics.beyond_accuracy import coverage, diversity, novelty, popularity_lift
from marquee.metrics.ranking import (
    ListHits,
    RelevantItems,
    average_precision,
    find_hits,
    mean_metrics,
    ndcg,
)

N_ITEMS = 10
TRAIN = [[5, 7], [2, 3, 4, 5, 6], [0, 4, 6], [7], [0, 2, 3, 6], [1, 4, 7]]  # items 8 and 9 have no ratings
LISTS = np.array(
    [[0, 4, 9, 6], [7, 0, 8, 1], [9, 2, 7, 1], [8, 4, 9, 3], [7, 5, 4, 1], [3, 6, 9, 0]], dtype=np.int32
)
RELEVANT = [[6], [1, 7, 9], [3, 8], [1, 3, 5, 6, 8], [5, 8], [2]]

# NDCG(k, divide_by_achievable=True), Recall, Precision, HitRate, MRR
RECTOOLS_RANKING = {
    1: [0.3333333333333333, 0.08888888888888889, 0.3333333333333333, 0.3333333333333333, 0.3333333333333333],
    3: [0.2209017098800091, 0.1722222222222222, 0.16666666666666666, 0.5, 0.4166666666666667],
    4: [0.3412371706824097, 0.42777777777777776, 0.25, 0.6666666666666666, 0.4583333333333333],
}
# MAP(k).calc_per_user, which divides by the number of relevant items
RECTOOLS_AVERAGE_PRECISION = {
    1: [0, 0.3333333333333333, 0, 0.2, 0, 0],
    3: [0, 0.3333333333333333, 0, 0.2, 0.25, 0],
    4: [0.25, 0.5, 0, 0.3, 0.25, 0],
}
# MeanInvUserFreq, AvgRecPopularity, CatalogCoverage(normalize=True), and IntraListDiversity with the cosine
# distance of rating vectors (None: for lists of one item RecTools returns 0 and Marquee NaN)
RECTOOLS_BEYOND_ACCURACY = {
    1: (1.723308333814104, 1.6666666666666667, 0.5, None),
    3: (1.6908104171073732, 1.722222222222222, 0.9, 0.868079178574853),
    4: (1.7649750004807707, 1.7083333333333333, 1.0, 0.7807810005167463),
}


def relevant_items(rows: list[list[int]]) -> RelevantItems:
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int32)
    return RelevantItems.from_pairs(users, np.concatenate(rows).astype(np.int32), len(rows))


def training_matrix() -> InteractionMatrix:
    users = np.repeat(np.arange(len(TRAIN)), [len(row) for row in TRAIN]).astype(np.int32)
    items = np.concatenate(TRAIN).astype(np.int32)
    ids = tuple(range(len(TRAIN))), tuple(range(N_ITEMS))
    return InteractionMatrix.from_encoded(EncodedInteractions(users, items, np.ones(len(items)), *ids))


@pytest.mark.parametrize("n", RECTOOLS_RANKING)
def test_ranking_metrics_equal_rectools(n: int) -> None:
    metrics = mean_metrics(find_hits(LISTS, relevant_items(RELEVANT)), n)
    names = ["ndcg", "recall", "precision", "hit_rate", "mrr"]
    assert [metrics[f"{name}@{n}"] for name in names] == pytest.approx(RECTOOLS_RANKING[n])


@pytest.mark.parametrize("n", RECTOOLS_AVERAGE_PRECISION)
def test_average_precision_equals_rectools_up_to_divisor(n: int) -> None:
    hits = find_hits(LISTS, relevant_items(RELEVANT))
    divisor = np.minimum(hits.n_relevant, n)
    rescaled = average_precision(hits, n) * divisor / hits.n_relevant
    assert rescaled.tolist() == pytest.approx(RECTOOLS_AVERAGE_PRECISION[n])


@pytest.mark.parametrize("n", RECTOOLS_BEYOND_ACCURACY)
def test_beyond_accuracy_metrics_equal_rectools(n: int) -> None:
    self_information, list_popularity, covered, distance = RECTOOLS_BEYOND_ACCURACY[n]
    matrix = training_matrix()
    popularity = matrix.item_counts()
    assert novelty(LISTS, popularity, len(TRAIN), n) == pytest.approx(self_information)
    lift = popularity_lift(LISTS, popularity, np.ones(len(TRAIN)), n)
    assert lift == pytest.approx(list_popularity - 1)
    assert coverage(LISTS, N_ITEMS, n) == covered
    if distance is not None:
        assert diversity(LISTS, matrix, n) == pytest.approx(distance)


class StoredLists:
    """Recommender of stored lists, with the interface that `implicit.evaluation` expects."""

    def __init__(self, lists: Int32Array) -> None:
        self.lists = lists

    def recommend(self, users: Int32Array, user_items: csr_matrix, N: int) -> tuple[Int32Array, Float64Array]:
        return np.ascontiguousarray(self.lists[users, :N]), np.zeros((len(users), N), dtype=np.float64)


def random_lists_with_hits(seed: int) -> tuple[Int32Array, ListHits, csr_matrix]:
    """Return random lists, their hits, and the relevant items as a matrix; some users have none."""
    rng = np.random.default_rng(seed)
    lists = rng.permuted(np.tile(np.arange(60, dtype=np.int32), (200, 1)), axis=1)[:, :20]
    is_relevant = rng.random((200, 60)) < rng.choice([0.0, 0.02, 0.1, 0.5], size=(200, 1))
    users, items = (side.astype(np.int32) for side in np.nonzero(is_relevant))
    hits = find_hits(lists, RelevantItems.from_pairs(users, items, 200))
    return lists, hits, csr_matrix(is_relevant.astype(np.float64))


@pytest.mark.parametrize("n", [1, 5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_ranking_metrics_equal_implicit(n: int, seed: int) -> None:
    lists, hits, relevant = random_lists_with_hits(seed)
    expected = ranking_metrics_at_k(
        StoredLists(lists), relevant, relevant, K=n, show_progress=False, num_threads=1
    )
    assert average_precision(hits, n).mean() == pytest.approx(expected["map"])
    assert ndcg(hits, n).mean() == pytest.approx(expected["ndcg"])
    # implicit computes precision over all users together: hits / possible hits.
    n_possible = np.minimum(hits.n_relevant, n).sum()
    assert hits.is_hit[:, :n].sum() / n_possible == pytest.approx(expected["precision"])
