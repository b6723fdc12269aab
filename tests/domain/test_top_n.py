"""Top-N lists: best unseen items first, ties broken by a hash of user and item, padding at the end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.array_types import Float32Array, Int32Array, Int64Array
from marquee.errors import DivergedError
from marquee.hashing import hash_pairs
from marquee.top_n import PADDING, recommend_top_n


def seen_index(seen: list[list[int]]) -> tuple[Int64Array, Int32Array]:
    indptr = np.concatenate([[0], np.cumsum([len(items) for items in seen])]).astype(np.int64)
    return indptr, np.array([item for items in seen for item in items], dtype=np.int32)


def recommend(
    scores: list[list[float]], seen: list[list[int]], n: int
) -> tuple[list[list[int]], Float32Array]:
    table = np.array(scores, dtype=np.float64)
    items, values = recommend_top_n(lambda users: table[users], *seen_index(seen), table.shape[1], n)
    return items.tolist(), values


def test_list_has_best_unseen_items_best_first() -> None:
    items, scores = recommend([[1, 5, 3, 4], [2, 1, 9, 0]], [[1], []], 2)
    assert items == [[3, 2], [2, 0]]
    assert scores.tolist() == [[4.0, 3.0], [9.0, 2.0]]


def test_ties_go_to_the_item_with_the_lower_hash() -> None:
    hashes = hash_pairs(0, np.arange(4))
    first, second = np.argsort(hashes)[:2].tolist()
    assert recommend([[7, 7, 7, 7, 9]], [[]], 3)[0] == [[4, first, second]]


def test_ties_give_every_item_about_the_same_number_of_places() -> None:
    n_users, n_items, n = 2000, 50, 10
    items, _ = recommend([[0.0] * n_items] * n_users, [[]] * n_users, n)
    expected = n_users * n / n_items
    counts = np.bincount(np.ravel(items), minlength=n_items)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    first_items = np.bincount(np.array(items)[:, 0], minlength=n_items)
    assert np.abs(first_items - n_users / n_items).max() < 5 * np.sqrt(n_users / n_items)


def test_score_of_minus_infinity_excludes_an_item() -> None:
    assert recommend([[1.0, -np.inf, 3.0]], [[]], 3)[0] == [[2, 0, PADDING]]


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_score_that_is_not_finite_is_an_error(score: float) -> None:
    with pytest.raises(DivergedError, match=r"must be finite .* \(got (nan|inf) for user 1, item 2\)"):
        recommend([[1.0, 2.0, 3.0], [1.0, 2.0, score]], [[], [2]], 2)


def test_list_with_too_few_unseen_items_is_padded() -> None:
    items, scores = recommend([[1, 2, 3]], [[0, 2]], 2)
    assert items == [[1, PADDING]]
    assert np.isnan(scores[0, 1])


def test_user_who_has_seen_all_items_gets_empty_list() -> None:
    assert recommend([[1, 2]], [[0, 1]], 2)[0] == [[PADDING, PADDING]]


def test_list_longer_than_number_of_items_is_padded() -> None:
    assert recommend([[1, 2]], [[]], 4)[0] == [[1, 0, PADDING, PADDING]]


def test_scores_of_the_caller_are_not_modified() -> None:
    table = np.ones((1, 3))
    recommend_top_n(lambda users: table[users], *seen_index([[1]]), 3, 2)
    assert table.tolist() == [[1, 1, 1]]


@given(st.data())
def test_lists_equal_those_of_a_plain_sort(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
    rows_with_ties = st.lists(st.integers(0, 4), min_size=n_items, max_size=n_items)
    scores = data.draw(st.lists(rows_with_ties, min_size=n_users, max_size=n_users))
    seen = [sorted(data.draw(st.sets(st.integers(0, n_items - 1)))) for _ in range(n_users)]
    n = data.draw(st.integers(1, 14))
    expected = []
    for user, (row, seen_items) in enumerate(zip(scores, seen, strict=True)):
        unseen = [item for item in range(n_items) if item not in seen_items]
        order = sorted(unseen, key=lambda item: (-row[item], hash_pairs(user, item).item()))
        expected.append((order + [PADDING] * n)[:n])
    assert recommend([[float(score) for score in row] for row in scores], seen, n)[0] == expected


@pytest.mark.parametrize("n_users", [255, 256, 257, 600])
def test_lists_do_not_depend_on_block_boundaries(n_users: int) -> None:
    table = np.random.default_rng(0).random((n_users, 20))
    items, _ = recommend_top_n(lambda users: table[users], *seen_index([[]] * n_users), 20, 3)
    assert items.tolist() == np.argsort(-table, axis=1, kind="stable")[:, :3].tolist()
