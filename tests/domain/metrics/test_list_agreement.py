"""List agreement: 1 for one ranking without the seen items of each user, 0 for disjoint lists."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marquee.array_types import Int32Array, Int64Array
from marquee.metrics.list_agreement import list_agreement
from marquee.top_n import PADDING


def seen_index(seen: list[list[int]]) -> tuple[Int64Array, Int32Array]:
    indptr = np.cumsum([0, *map(len, seen)], dtype=np.int64)
    return indptr, np.array([item for items in seen for item in items], dtype=np.int32)


def agreement(lists: list[list[int]], seen: list[list[int]]) -> float:
    return list_agreement(np.array(lists, dtype=np.int32), *seen_index(seen))


def test_disjoint_lists_do_not_agree() -> None:
    assert agreement([[0, 1], [2, 3]], [[], []]) == 0.0


def test_half_of_the_items_agree() -> None:
    assert agreement([[0, 1], [1, 2]], [[], []]) == 0.5


def test_lists_that_differ_only_by_seen_items_agree() -> None:
    # Both users rank 0, 1, 2, 3; one has seen 0, the other 1. Of the rest, both lists start with 2.
    assert agreement([[1, 2], [0, 2]], [[0], [1]]) == 1.0


def test_padding_is_not_compared() -> None:
    assert agreement([[0, PADDING], [0, 1]], [[], []]) == 1.0


def test_agreement_is_undefined_without_two_lists() -> None:
    assert math.isnan(agreement([[0, 1], [PADDING, PADDING]], [[], [0, 1]]))


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(2, 30), st.integers(1, 12))
def test_one_ranking_for_all_users_agrees_completely(seed: int, n_users: int, n_items: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    ranking = rng.permutation(n_items)
    seen = [rng.choice(n_items, rng.integers(0, n_items), replace=False).tolist() for _ in range(n_users)]
    lists = [[item for item in ranking.tolist() if item not in items][:n] for items in seen]
    padded = [items + [PADDING] * (n - len(items)) for items in lists]
    value = agreement(padded, seen)
    assert math.isnan(value) or value == 1.0
