"""Ranking metrics, with values computed by hand."""

from collections.abc import Callable
from dataclasses import replace
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.array_types import Float64Array
from marquee.errors import DataError
from marquee.metrics.ranking import (
    RANKING_METRICS,
    ListHits,
    RelevantItems,
    average_precision,
    find_hits,
    graded_ndcg,
    hit_rate,
    mean_metrics,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from marquee.top_n import PADDING

LISTS = [
    [4, 0, 2],  # relevant: 0, 3; a hit in position 2
    [1, 5, 3],  # no relevant item: not evaluated
    [5, 1, 0],  # relevant: 5, 0, 2, 4; hits in positions 1 and 3
    [2, PADDING, PADDING],  # relevant: 1; no hit
]
RELEVANT = [[0, 3], [], [5, 0, 2, 4], [1]]


def relevant_items(items: list[list[int]]) -> RelevantItems:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in items])]).astype(np.int64)
    return RelevantItems(indptr, np.array([item for row in items for item in row], dtype=np.int32))


def list_hits(lists: list[list[int]] = LISTS, relevant: list[list[int]] = RELEVANT) -> ListHits:
    return find_hits(np.array(lists, dtype=np.int32), relevant_items(relevant))


def test_users_without_relevant_items_are_not_evaluated() -> None:
    assert list_hits().users.tolist() == [0, 2, 3]
    assert list_hits().n_relevant.tolist() == [2, 4, 1]


def test_ndcg_divides_by_gain_of_ideal_list() -> None:
    first = (1 / log2(3)) / (1 / log2(2) + 1 / log2(3))
    third = (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))
    assert ndcg(list_hits(), 3).tolist() == pytest.approx([first, third, 0])
    assert ndcg(list_hits(), 1).tolist() == [0, 1, 0]


def test_graded_ndcg_gains_from_the_logarithm_of_weights() -> None:
    relevant = RelevantItems.from_pairs(
        np.array([0, 0, 0, 1], np.int32), np.array([5, 2, 7, 1], np.int32), 2, np.array([1.0, 3.0, 7.0, 1.0])
    )
    hits = find_hits(np.array([[2, 4, 5], [1, 0, 2]], np.int32), relevant)
    gain = 2 / log2(2) + 1 / log2(4)  # weights 3 and 1, in positions 1 and 3
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)  # weights 7, 3 and 1
    assert graded_ndcg(hits, 3).tolist() == pytest.approx([gain / ideal, 1])
    assert graded_ndcg(hits, 1).tolist() == pytest.approx([2 / 3, 1])


def test_graded_ndcg_of_weights_of_one_is_ndcg() -> None:
    relevant = relevant_items(RELEVANT)
    weighted = replace(relevant, weights=np.ones(len(relevant.items)))
    hits = find_hits(np.array(LISTS, np.int32), weighted)
    assert graded_ndcg(hits, 3).tolist() == pytest.approx(ndcg(hits, 3).tolist())


def test_graded_ndcg_counts_relevant_items_unknown_to_training_as_missed() -> None:
    relevant = RelevantItems.from_pairs(
        np.zeros(2, np.int32), np.array([-1, 3], np.int32), 1, np.array([3.0, 1.0])
    )
    hits = find_hits(np.array([[3, 0]], np.int32), relevant)
    assert graded_ndcg(hits, 2).tolist() == pytest.approx([1 / (2 + 1 / log2(3))])


def test_graded_ndcg_needs_weights() -> None:
    with pytest.raises(DataError, match="graded NDCG needs the weights"):
        graded_ndcg(list_hits(), 3)


def test_average_precision_sums_precision_at_each_hit() -> None:
    third = (1 / 1 + 2 / 3) / min(3, 4)  # hits in positions 1 and 3
    assert average_precision(list_hits(), 3).tolist() == pytest.approx([(1 / 2) / min(3, 2), third, 0])
    assert average_precision(list_hits(), 2).tolist() == [(1 / 2) / min(2, 2), (1 / 1) / min(2, 4), 0]
    assert average_precision(list_hits(), 1).tolist() == [0, (1 / 1) / min(1, 4), 0]


def test_average_precision_of_list_with_only_hits_is_one() -> None:
    assert average_precision(list_hits([[3, 1], [2, 0]], [[0, 1, 2, 3], [2]]), 2).tolist() == [1, 1]


def test_recall_divides_by_number_of_relevant_items() -> None:
    assert recall(list_hits(), 3).tolist() == [1 / 2, 2 / 4, 0]


def test_precision_divides_by_number_of_positions_including_padding() -> None:
    assert precision(list_hits(), 3).tolist() == [1 / 3, 2 / 3, 0]
    assert precision(list_hits(), 2).tolist() == [1 / 2, 1 / 2, 0]


def test_hit_rate_is_one_with_any_hit() -> None:
    assert hit_rate(list_hits(), 3).tolist() == [1, 1, 0]
    assert hit_rate(list_hits(), 1).tolist() == [0, 1, 0]


def test_reciprocal_rank_is_that_of_first_hit() -> None:
    assert reciprocal_rank(list_hits(), 3).tolist() == [1 / 2, 1, 0]


def test_mean_metrics_average_over_evaluated_users() -> None:
    metrics = mean_metrics(list_hits(), 3)
    assert metrics["recall@3"] == pytest.approx((1 / 2 + 2 / 4 + 0) / 3)
    assert metrics["mrr@3"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert set(metrics) == {f"{name}@3" for name in RANKING_METRICS}


def test_ideal_list_has_ndcg_one_for_any_number_of_relevant_items() -> None:
    assert ndcg(list_hits([[3, 1], [2, 0]], [[1, 3, 4], [2]]), 2).tolist() == pytest.approx([1, 1])


def test_unknown_relevant_item_is_missed_and_does_not_match_padding() -> None:
    hits = list_hits([[2, PADDING, PADDING]], [[-1, 2]])
    assert hits.is_hit.tolist() == [[True, False, False]]
    assert recall(hits, 3).tolist() == [1 / 2]


@pytest.mark.parametrize("metric", RANKING_METRICS.values())
def test_lists_shorter_than_n_are_rejected(metric: Callable[[ListHits, int], Float64Array]) -> None:
    with pytest.raises(DataError, match=r"@4 needs lists of at least 4 items"):
        metric(list_hits(), 4)


def test_empty_list_of_user_with_relevant_item_is_rejected() -> None:
    with pytest.raises(DataError, match="have empty lists, the first is user 1"):
        list_hits([[1, 0], [PADDING, PADDING]], [[1], [0]])


def test_missing_list_of_a_user_is_rejected() -> None:
    with pytest.raises(DataError, match=r"expected a list for each of 4 users \(got 3 lists\)"):
        list_hits(LISTS[:3], RELEVANT)


def test_duplicate_item_in_a_list_is_rejected() -> None:
    with pytest.raises(DataError, match="list of user 0 contains an item twice"):
        list_hits([[1, 2, 1]], [[1]])


def test_lists_without_relevant_items_are_rejected() -> None:
    with pytest.raises(DataError, match="no user has a relevant held-out item"):
        list_hits(LISTS, [[], [], [], []])


def test_pairs_are_grouped_by_user_without_repetitions_and_unknown_users() -> None:
    users = np.array([2, 0, 2, -1, 2, 0, 0], dtype=np.int32)
    items = np.array([5, 1, 5, 3, 4, -1, -1], dtype=np.int32)
    relevant = RelevantItems.from_pairs(users, items, n_users=4)
    assert relevant.indptr.tolist() == [0, 3, 3, 5, 5]
    assert relevant.items.tolist() == [-1, -1, 1, 4, 5]  # two unknown items count as two


@given(st.data())
def test_metrics_equal_plain_loops(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    n = data.draw(st.integers(1, n_items))
    lists = [data.draw(st.permutations(range(n_items)))[:n] for _ in range(n_users)]
    relevant = [sorted(data.draw(st.sets(st.integers(0, n_items - 1)))) for _ in range(n_users)]
    evaluated = [(row, set(items)) for row, items in zip(lists, relevant, strict=True) if items]
    if not evaluated:
        return
    n_relevant = [len(items) for _, items in evaluated]
    hit_ranks = [[rank for rank, item in enumerate(row, 1) if item in items] for row, items in evaluated]
    hits = list_hits(lists, relevant)

    gains = [sum(1 / log2(rank + 1) for rank in ranks) for ranks in hit_ranks]
    ideal = [sum(1 / log2(rank + 1) for rank in range(1, 1 + min(n, count))) for count in n_relevant]
    assert ndcg(hits, n).tolist() == pytest.approx([g / i for g, i in zip(gains, ideal, strict=True)])
    precisions = [sum(count / rank for count, rank in enumerate(ranks, 1)) for ranks in hit_ranks]
    assert average_precision(hits, n).tolist() == pytest.approx(
        [total / min(n, count) for total, count in zip(precisions, n_relevant, strict=True)]
    )
    assert recall(hits, n).tolist() == [
        len(ranks) / count for ranks, count in zip(hit_ranks, n_relevant, strict=True)
    ]
    assert precision(hits, n).tolist() == [len(ranks) / n for ranks in hit_ranks]
    assert hit_rate(hits, n).tolist() == [float(bool(ranks)) for ranks in hit_ranks]
    assert reciprocal_rank(hits, n).tolist() == [1 / ranks[0] if ranks else 0 for ranks in hit_ranks]
