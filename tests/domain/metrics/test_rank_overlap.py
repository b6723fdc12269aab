"""Rank-biased overlap: by hand, at its limits, and against its own sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.metrics.rank_overlap import rank_biased_overlap

LISTS = st.permutations("abcdefgh").flatmap(lambda order: st.integers(1, 8).map(lambda n: order[:n]))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("", "", 1.0),
        ("", "abc", 0.0),
        # p = 1/2: (X_1/1 p + X_2/2 p^2) + X_2/2 p^2 = 0 + 1/4 + 1/4
        ("ab", "ba", 0.5),
        # common 1, 1: 1/2 + 1/2 * 1/4 + 1/2 * 1/4
        ("ab", "ax", 0.75),
        # s = 1, l = 2: 1/2 + 1/2 * 1/4 + 1 * (2 - 1) / (1 * 2) * 1/4 + (0 / 2 + 1) * 1/4
        ("a", "ab", 1.0),
    ],
)
def test_by_hand(one: str, other: str, overlap: float) -> None:
    assert rank_biased_overlap(one, other, 0.5) == pytest.approx(overlap)


@given(LISTS, LISTS)
def test_it_is_symmetric_and_within_its_bounds(one: list[str], other: list[str]) -> None:
    overlap = rank_biased_overlap(one, other)
    assert overlap == rank_biased_overlap(other, one)
    assert -1e-12 <= overlap <= 1 + 1e-12


def test_the_top_weighs_more() -> None:
    assert rank_biased_overlap("abcd", "abxy") > rank_biased_overlap("abcd", "xycd")


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0, float("nan")])
def test_a_persistence_that_is_none_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rank_biased_overlap("a", "a", p)
