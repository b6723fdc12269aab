"""Top-N lists: seen items never, ties always the same way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.top_n import NONE, top_n


def seen_index(seen: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.concatenate([[0], np.cumsum([len(s) for s in seen])]).astype(np.int64)
    return indptr, np.array([item for s in seen for item in s], dtype=np.int32)


def best(scores: list[list[float]], seen: list[list[int]], n: int) -> tuple[list[list[int]], np.ndarray]:
    table = np.array(scores, dtype=np.float64)
    items, values = top_n(lambda users: table[users], *seen_index(seen), table.shape[1], n)
    return items.tolist(), values


def test_the_best_unseen_items_come_best_first() -> None:
    items, scores = best([[1, 5, 3, 4], [2, 2, 9, 1]], [[1], []], 2)
    assert items == [[3, 2], [2, 0]]
    assert scores.tolist() == [[4.0, 3.0], [9.0, 2.0]]


def test_equal_scores_go_to_the_lower_item_number_at_the_cut_too() -> None:
    assert best([[7, 7, 7, 7, 9]], [[]], 3)[0] == [[4, 0, 1]]


def test_a_user_who_has_seen_nearly_all_gets_a_padded_list() -> None:
    items, scores = best([[1, 2, 3]], [[0, 2]], 2)
    assert items == [[1, NONE]]
    assert np.isnan(scores[0, 1])


def test_a_user_who_has_seen_everything_gets_an_empty_list() -> None:
    assert best([[1, 2]], [[0, 1]], 2)[0] == [[NONE, NONE]]


def test_more_than_there_are_items_is_padded() -> None:
    assert best([[1, 2]], [[]], 4)[0] == [[1, 0, NONE, NONE]]


def test_the_given_scores_are_not_changed() -> None:
    table = np.ones((1, 3))
    top_n(lambda users: table[users], *seen_index([[1]]), 3, 2)
    assert table.tolist() == [[1, 1, 1]]


@given(st.data())
def test_lists_are_those_of_a_plain_sort(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    few_values = st.lists(st.integers(0, 4), min_size=n_items, max_size=n_items)
    scores = data.draw(st.lists(few_values, min_size=n_users, max_size=n_users))
    seen = [sorted(data.draw(st.sets(st.integers(0, n_items - 1)))) for _ in range(n_users)]
    n = data.draw(st.integers(1, 14))
    expected = []
    for row, left_out in zip(scores, seen, strict=True):
        order = sorted((i for i in range(n_items) if i not in left_out), key=lambda i, row=row: (-row[i], i))
        expected.append((order + [NONE] * n)[:n])
    assert best([[float(s) for s in row] for row in scores], seen, n)[0] == expected


@pytest.mark.parametrize("n_users", [255, 256, 257, 600])
def test_blocks_do_not_show(n_users: int) -> None:
    table = np.random.default_rng(0).random((n_users, 20))
    items, _ = top_n(lambda users: table[users], *seen_index([[]] * n_users), 20, 3)
    assert items.tolist() == np.argsort(-table, axis=1, kind="stable")[:, :3].tolist()
