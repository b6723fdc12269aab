"""Ranking metrics, by hand."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.metrics.ranking import (
    METRICS,
    Judged,
    Relevant,
    average_precision,
    hit_rate,
    judge,
    means,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from marquee.top_n import NONE

LISTS = [
    [4, 0, 2],  # relevant: 0, 3: one of two, in place 2
    [1, 5, 3],  # relevant: none: not counted
    [5, 1, 0],  # relevant: 5, 0, 2, 4: places 1 and 3
    [2, NONE, NONE],  # relevant: 1: missed
]
RELEVANT = [[0, 3], [], [5, 0, 2, 4], [1]]


def relevant_of(items: list[list[int]]) -> Relevant:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in items])]).astype(np.int64)
    return Relevant(indptr, np.array([item for row in items for item in row], dtype=np.int32))


def judged(lists: list[list[int]] = LISTS, relevant: list[list[int]] = RELEVANT) -> Judged:
    return judge(np.array(lists, dtype=np.int32), relevant_of(relevant))


def test_users_without_relevant_items_are_not_counted() -> None:
    assert judged().users.tolist() == [0, 2, 3]
    assert judged().n_relevant.tolist() == [2, 4, 1]


def test_ndcg_divides_by_the_best_list_that_could_be() -> None:
    first = (1 / log2(3)) / (1 / log2(2) + 1 / log2(3))
    third = (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))
    assert ndcg(judged(), 3).tolist() == pytest.approx([first, third, 0])
    assert ndcg(judged(), 1).tolist() == [0, 1, 0]


def test_average_precision_takes_the_precision_at_each_hit() -> None:
    third = (1 / 1 + 2 / 3) / min(3, 4)  # hits in places 1 and 3
    assert average_precision(judged(), 3).tolist() == pytest.approx([(1 / 2) / min(3, 2), third, 0])
    assert average_precision(judged(), 2).tolist() == [(1 / 2) / min(2, 2), (1 / 1) / min(2, 4), 0]
    assert average_precision(judged(), 1).tolist() == [0, (1 / 1) / min(1, 4), 0]


def test_a_list_of_relevant_items_alone_has_average_precision_one_however_many_more_there_are() -> None:
    assert average_precision(judged([[3, 1], [2, 0]], [[0, 1, 2, 3], [2]]), 2).tolist() == [1, 1]


def test_recall_divides_by_what_is_relevant() -> None:
    assert recall(judged(), 3).tolist() == [1 / 2, 2 / 4, 0]


def test_precision_divides_by_the_places_the_empty_ones_too() -> None:
    assert precision(judged(), 3).tolist() == [1 / 3, 2 / 3, 0]
    assert precision(judged(), 2).tolist() == [1 / 2, 1 / 2, 0]


def test_hit_rate_asks_for_one_hit() -> None:
    assert hit_rate(judged(), 3).tolist() == [1, 1, 0]
    assert hit_rate(judged(), 1).tolist() == [0, 1, 0]


def test_reciprocal_rank_is_that_of_the_first_hit() -> None:
    assert reciprocal_rank(judged(), 3).tolist() == [1 / 2, 1, 0]


def test_means_are_taken_over_the_users_judged() -> None:
    got = means(judged(), 3)
    assert got["recall@3"] == pytest.approx((1 / 2 + 2 / 4 + 0) / 3)
    assert got["mrr@3"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert set(got) == {f"{name}@3" for name in METRICS}


def test_a_perfect_list_has_ndcg_one_whatever_the_number_of_relevant_items() -> None:
    assert ndcg(judged([[3, 1], [2, 0]], [[1, 3, 4], [2]]), 2).tolist() == pytest.approx([1, 1])


def test_a_relevant_item_that_training_did_not_see_is_missed_and_never_matches_padding() -> None:
    got = judged([[2, NONE, NONE]], [[-1, 2]])
    assert got.hits.tolist() == [[True, False, False]]
    assert recall(got, 3).tolist() == [1 / 2]


@pytest.mark.parametrize("metric", METRICS.values())
def test_a_metric_refuses_more_places_than_the_lists_have(metric: object) -> None:
    with pytest.raises(DataError, match=r"@4 cannot be taken of lists of 3 items"):
        metric(judged(), 4)  # type: ignore[operator]


def test_a_user_for_whom_nothing_was_scored_is_refused() -> None:
    with pytest.raises(DataError, match="nothing in their lists, the first is user 1"):
        judged([[1, 0], [NONE, NONE]], [[1], [0]])


def test_lists_of_other_users_are_refused() -> None:
    with pytest.raises(DataError, match="3 lists cannot be judged for 4 users"):
        judged(LISTS[:3], RELEVANT)


def test_an_item_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match="user 0 names an item twice"):
        judged([[1, 2, 1]], [[1]])


def test_without_any_relevant_item_there_is_nothing_to_judge() -> None:
    with pytest.raises(DataError, match="no user has a relevant held-out item"):
        judged(LISTS, [[], [], [], []])


def test_pairs_are_grouped_by_user_repeated_ones_once_unknown_users_never() -> None:
    users = np.array([2, 0, 2, -1, 2, 0, 0], dtype=np.int32)
    items = np.array([5, 1, 5, 3, 4, -1, -1], dtype=np.int32)
    relevant = Relevant.from_pairs(users, items, n_users=4)
    assert relevant.indptr.tolist() == [0, 3, 3, 5, 5]
    assert relevant.items.tolist() == [-1, -1, 1, 4, 5]  # two unknown items are two


@given(st.data())
def test_metrics_are_those_of_plain_loops(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    n = data.draw(st.integers(1, n_items))
    lists = [data.draw(st.permutations(range(n_items)))[:n] for _ in range(n_users)]
    relevant = [sorted(data.draw(st.sets(st.integers(0, n_items - 1)))) for _ in range(n_users)]
    counted = [(row, set(liked)) for row, liked in zip(lists, relevant, strict=True) if liked]
    if not counted:
        return
    places = [[place for place, item in enumerate(row, 1) if item in liked] for row, liked in counted]
    best = [sum(1 / log2(k + 1) for k in range(1, 1 + min(n, len(liked)))) for _, liked in counted]
    got = judged(lists, relevant)
    gains = [sum(1 / log2(k + 1) for k in hits) for hits in places]
    assert ndcg(got, n).tolist() == pytest.approx([g / b for g, b in zip(gains, best, strict=True)])
    precisions = [sum(hit / place for hit, place in enumerate(hits, 1)) for hits in places]
    assert average_precision(got, n).tolist() == pytest.approx(
        [total / min(n, len(liked)) for total, (_, liked) in zip(precisions, counted, strict=True)]
    )
    assert recall(got, n).tolist() == [
        len(h) / len(liked) for h, (_, liked) in zip(places, counted, strict=True)
    ]
    assert precision(got, n).tolist() == [len(h) / n for h in places]
    assert hit_rate(got, n).tolist() == [float(bool(h)) for h in places]
    assert reciprocal_rank(got, n).tolist() == [1 / h[0] if h else 0 for h in places]
