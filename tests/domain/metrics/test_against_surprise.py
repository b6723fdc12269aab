"""Our figures are those of other libraries: `implicit` on random lists, and RecTools on six users.

RecTools needs a NumPy below 2, so it cannot be installed beside us; its figures stand here as RecTools
0.19.0 gave them for the lists below (NumPy 1.26.4, pandas 2.3.3).
"""

import numpy as np
import pytest
from implicit.evaluation import ranking_metrics_at_k
from scipy.sparse import csr_matrix

from marquee.arrays import Floats, Integers
from marquee.interactions.matrix import CodedRatings, RatingMatrix
from marquee.metrics.beyond_accuracy import coverage, diversity, novelty, popularity_lift
from marquee.metrics.ranking import Judged, Relevant, average_precision, judge, means, ndcg

N_ITEMS = 10
TRAIN = [[5, 7], [2, 3, 4, 5, 6], [0, 4, 6], [7], [0, 2, 3, 6], [1, 4, 7]]  # nobody rated 8 and 9
LISTS = np.array(
    [[0, 4, 9, 6], [7, 0, 8, 1], [9, 2, 7, 1], [8, 4, 9, 3], [7, 5, 4, 1], [3, 6, 9, 0]], dtype=np.int32
)
RELEVANT = [[6], [1, 7, 9], [3, 8], [1, 3, 5, 6, 8], [5, 8], [2]]

# NDCG(k, divide_by_achievable=True), Recall, Precision, HitRate, MRR
RANKING_OF_RECTOOLS = {
    1: [0.3333333333333333, 0.08888888888888889, 0.3333333333333333, 0.3333333333333333, 0.3333333333333333],
    3: [0.2209017098800091, 0.1722222222222222, 0.16666666666666666, 0.5, 0.4166666666666667],
    4: [0.3412371706824097, 0.42777777777777776, 0.25, 0.6666666666666666, 0.4583333333333333],
}
# MAP(k).calc_per_user: the sum is divided by the number of relevant items
AVERAGE_PRECISION_OF_RECTOOLS = {
    1: [0, 0.3333333333333333, 0, 0.2, 0, 0],
    3: [0, 0.3333333333333333, 0, 0.2, 0.25, 0],
    4: [0.25, 0.5, 0, 0.3, 0.25, 0],
}
# MeanInvUserFreq, AvgRecPopularity, CatalogCoverage(normalize=True), and IntraListDiversity with the cosine
# distance of the columns of raters (of one item it is 0 there, here nothing)
LISTS_OF_RECTOOLS = {
    1: [1.723308333814104, 1.6666666666666667, 0.5, None],
    3: [1.6908104171073732, 1.722222222222222, 0.9, 0.868079178574853],
    4: [1.7649750004807707, 1.7083333333333333, 1.0, 0.7807810005167463],
}


def relevant_of(rows: list[list[int]]) -> Relevant:
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int32)
    return Relevant.from_pairs(users, np.concatenate(rows).astype(np.int32), len(rows))


def matrix() -> RatingMatrix:
    users = np.repeat(np.arange(len(TRAIN)), [len(row) for row in TRAIN]).astype(np.int32)
    items = np.concatenate(TRAIN).astype(np.int32)
    ids = tuple(range(len(TRAIN))), tuple(range(N_ITEMS))
    return RatingMatrix.from_coded(CodedRatings(users, items, np.ones(len(items)), *ids))


@pytest.mark.parametrize("n", RANKING_OF_RECTOOLS)
def test_ranking_is_that_of_rectools(n: int) -> None:
    got = means(judge(LISTS, relevant_of(RELEVANT)), n)
    names = ["ndcg", "recall", "precision", "hit_rate", "mrr"]
    assert [got[f"{name}@{n}"] for name in names] == pytest.approx(RANKING_OF_RECTOOLS[n])


@pytest.mark.parametrize("n", AVERAGE_PRECISION_OF_RECTOOLS)
def test_average_precision_is_that_of_rectools_but_for_the_divisor(n: int) -> None:
    judged = judge(LISTS, relevant_of(RELEVANT))
    got = average_precision(judged, n) * np.minimum(judged.n_relevant, n) / judged.n_relevant
    assert got.tolist() == pytest.approx(AVERAGE_PRECISION_OF_RECTOOLS[n])


@pytest.mark.parametrize("n", LISTS_OF_RECTOOLS)
def test_lists_are_measured_as_rectools_measures_them(n: int) -> None:
    information, popularity, shown, distance = LISTS_OF_RECTOOLS[n]
    counts = matrix().item_counts()
    assert novelty(LISTS, counts, len(TRAIN), n) == pytest.approx(information)
    assert popularity_lift(LISTS, counts, np.ones(len(TRAIN)), n) == pytest.approx(popularity - 1)
    assert coverage(LISTS, N_ITEMS, n) == shown
    if distance is not None:
        assert diversity(LISTS, matrix(), n) == pytest.approx(distance)


class Recommender:
    """Lists in the shape that the evaluation of `implicit` asks for."""

    def __init__(self, lists: Integers) -> None:
        self.lists = lists

    def recommend(self, users: Integers, seen: csr_matrix, N: int) -> tuple[Integers, Floats]:
        return np.ascontiguousarray(self.lists[users, :N]), np.zeros((len(users), N), dtype=np.float32)


def drawn(seed: int) -> tuple[Integers, Judged, csr_matrix]:
    rng = np.random.default_rng(seed)
    lists = rng.permuted(np.tile(np.arange(60, dtype=np.int32), (200, 1)), axis=1)[:, :20]
    liked = rng.random((200, 60)) < rng.choice([0.0, 0.02, 0.1, 0.5], size=(200, 1))  # some like nothing
    users, items = (side.astype(np.int32) for side in np.nonzero(liked))
    return lists, judge(lists, Relevant.from_pairs(users, items, 200)), csr_matrix(liked.astype(np.float64))


@pytest.mark.parametrize("n", [1, 5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_ranking_is_that_of_implicit(n: int, seed: int) -> None:
    lists, judged, liked = drawn(seed)
    theirs = ranking_metrics_at_k(Recommender(lists), liked, liked, K=n, show_progress=False, num_threads=1)
    assert average_precision(judged, n).mean() == pytest.approx(theirs["map"])
    assert ndcg(judged, n).mean() == pytest.approx(theirs["ndcg"])
    # Its precision is over all users together, and out of the hits that there could be.
    could_be = np.minimum(judged.n_relevant, n).sum()
    assert judged.hits[:, :n].sum() / could_be == pytest.approx(theirs["precision"])
