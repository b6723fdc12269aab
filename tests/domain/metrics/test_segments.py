"""Segments: cold, warm and hot users; head and tail items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.metrics.segments import Segments

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=20)


def members(segments: Segments) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in segments.masks.items()}


def test_users_are_thirds_by_activity() -> None:
    segments = Segments.by_activity(np.array([50, 3, 7, 1, 20, 9]))
    assert members(segments) == {"cold": [1, 3], "warm": [2, 5], "hot": [0, 4]}
    assert segments.sizes == {"cold": 2, "warm": 2, "hot": 2}
    assert segments.count_ranges == {"cold": (1, 3), "warm": (7, 9), "hot": (20, 50)}


def test_lower_id_counts_as_colder_among_equally_active_users() -> None:
    segments = Segments.by_activity(np.array([5, 5, 5, 5, 5, 1]))
    assert members(segments) == {"cold": [0, 5], "warm": [1, 2], "hot": [3, 4]}
    assert segments.count_ranges == {"cold": (1, 5), "warm": (5, 5), "hot": (5, 5)}


def test_remainder_of_thirds_goes_to_cold_then_warm() -> None:
    assert Segments.by_activity(np.arange(7)).sizes == {"cold": 3, "warm": 2, "hot": 2}
    assert Segments.by_activity(np.arange(8)).sizes == {"cold": 3, "warm": 3, "hot": 2}


def test_empty_segment_has_no_range() -> None:
    segments = Segments.by_activity(np.array([4]))
    assert segments.sizes == {"cold": 1, "warm": 0, "hot": 0}
    assert segments.count_ranges == {"cold": (4, 4), "warm": None, "hot": None}
    assert Segments.by_activity(np.array([], dtype=np.int64)).sizes == {"cold": 0, "warm": 0, "hot": 0}


def test_head_is_smallest_set_of_items_with_half_of_the_ratings() -> None:
    segments = Segments.by_popularity(np.array([1, 6, 2, 5, 3, 3]))  # 6 + 5 of 20; 6 alone is less than half
    assert members(segments) == {"head": [1, 3], "tail": [0, 2, 4, 5]}
    assert segments.count_ranges == {"head": (5, 6), "tail": (1, 3)}


def test_exactly_half_of_the_ratings_is_enough_for_the_head() -> None:
    assert members(Segments.by_popularity(np.array([2, 5, 3]))) == {"head": [1], "tail": [0, 2]}


def test_lower_id_is_in_the_head_among_equally_popular_items() -> None:
    assert members(Segments.by_popularity(np.array([2, 3, 3, 3, 1]))) == {"head": [1, 2], "tail": [0, 3, 4]}


def test_items_without_any_ratings_cannot_be_segmented() -> None:
    with pytest.raises(DataError, match="there are no training ratings"):
        Segments.by_popularity(np.zeros(3, dtype=np.int64))


@given(COUNTS)
def test_user_segments_have_equal_sizes_and_are_in_order_of_activity(counts: list[int]) -> None:
    segments = Segments.by_activity(np.array(counts))
    assert np.sum(list(segments.masks.values()), axis=0).tolist() == [1] * len(counts)
    assert max(segments.sizes.values()) - min(segments.sizes.values()) <= 1
    users = sorted(range(len(counts)), key=lambda user: (counts[user], user))
    assert segments.assignment[users].tolist() == sorted(segments.assignment.tolist())


@given(COUNTS.filter(any))
def test_head_is_no_larger_than_needed_and_more_popular_than_tail(counts: list[int]) -> None:
    segments = Segments.by_popularity(np.array(counts))
    head = [counts[item] for item in members(segments)["head"]]
    tail = [counts[item] for item in members(segments)["tail"]]
    assert sum(head) * 2 >= sum(counts) > (sum(head) - min(head)) * 2
    assert min(head) >= max(tail, default=0)
