"""Who is cold, warm or hot, and what is head or tail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.metrics.segments import Groups


def members(groups: Groups) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in groups.masks.items()}


def test_users_are_thirds_by_activity() -> None:
    groups = Groups.of_users(np.array([50, 3, 7, 1, 20, 9]))
    assert members(groups) == {"cold": [1, 3], "warm": [2, 5], "hot": [0, 4]}
    assert groups.sizes == {"cold": 2, "warm": 2, "hot": 2}
    assert groups.ranges == {"cold": (1, 3), "warm": (7, 9), "hot": (20, 50)}


def test_of_equally_active_users_the_lower_number_is_colder() -> None:
    groups = Groups.of_users(np.array([5, 5, 5, 5, 5, 1]))
    assert members(groups) == {"cold": [0, 5], "warm": [1, 2], "hot": [3, 4]}
    assert groups.ranges == {"cold": (1, 5), "warm": (5, 5), "hot": (5, 5)}


def test_what_does_not_divide_by_three_goes_to_the_cold_then_to_the_warm() -> None:
    assert Groups.of_users(np.arange(7)).sizes == {"cold": 3, "warm": 2, "hot": 2}
    assert Groups.of_users(np.arange(8)).sizes == {"cold": 3, "warm": 3, "hot": 2}


def test_a_group_without_members_has_no_range() -> None:
    groups = Groups.of_users(np.array([4]))
    assert groups.sizes == {"cold": 1, "warm": 0, "hot": 0}
    assert groups.ranges == {"cold": (4, 4), "warm": None, "hot": None}
    assert Groups.of_users(np.array([], dtype=np.int64)).sizes == {"cold": 0, "warm": 0, "hot": 0}


def test_the_head_is_the_fewest_items_that_hold_half_of_the_ratings() -> None:
    groups = Groups.of_items(np.array([1, 6, 2, 5, 3, 3]))  # 6 + 5 of 20; 6 alone are not half
    assert members(groups) == {"head": [1, 3], "tail": [0, 2, 4, 5]}
    assert groups.ranges == {"head": (5, 6), "tail": (1, 3)}


def test_exactly_half_is_enough() -> None:
    assert members(Groups.of_items(np.array([2, 5, 3]))) == {"head": [1], "tail": [0, 2]}


def test_of_equally_popular_items_the_lower_number_is_in_the_head() -> None:
    assert members(Groups.of_items(np.array([2, 3, 3, 3, 1]))) == {"head": [1, 2], "tail": [0, 3, 4]}


def test_without_ratings_there_is_neither_head_nor_tail() -> None:
    with pytest.raises(DataError, match="there is none"):
        Groups.of_items(np.zeros(3, dtype=np.int64))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_everybody_is_in_one_group_and_groups_are_in_order(counts: list[int]) -> None:
    users = Groups.of_users(np.array(counts))
    assert sum(users.masks.values()).tolist() == [1] * len(counts)  # type: ignore[union-attr]
    assert max(users.sizes.values()) - min(users.sizes.values()) <= 1
    ordered = sorted(range(len(counts)), key=lambda user: (counts[user], user))
    assert users.numbers[ordered].tolist() == sorted(users.numbers.tolist())
    if not any(counts):
        return
    items = Groups.of_items(np.array(counts))
    head = [counts[item] for item in np.flatnonzero(items.masks["head"])]
    assert sum(head) * 2 >= sum(counts) > (sum(head) - min(head)) * 2
    assert min(head) >= max((counts[item] for item in np.flatnonzero(items.masks["tail"])), default=0)
