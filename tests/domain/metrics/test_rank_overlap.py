"""Rank-biased overlap: values computed by hand, symmetry and range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.metrics.rank_overlap import rank_biased_overlap

LISTS = st.permutations("abcdefgh").flatmap(lambda order: st.integers(1, 8).map(lambda n: order[:n]))


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("", "", 1.0),
        ("", "abc", 0.0),
        # p = 1/2: (X_1/1 p + X_2/2 p^2) + X_2/2 p^2 = 0 + 1/4 + 1/4
        ("ab", "ba", 0.5),
        # X_1 = X_2 = 1: 1/2 + 1/2 * 1/4 + 1/2 * 1/4
        ("ab", "ax", 0.75),
        # s = 1, l = 2: 1/2 + 1/2 * 1/4 + 1 * (2 - 1) / (1 * 2) * 1/4 + (0 / 2 + 1) * 1/4
        ("a", "ab", 1.0),
    ],
)
def test_overlap_equals_value_computed_by_hand(first: str, second: str, overlap: float) -> None:
    assert rank_biased_overlap(first, second, 0.5) == pytest.approx(overlap)


@given(LISTS, LISTS)
def test_overlap_is_symmetric_and_between_zero_and_one(first: list[str], second: list[str]) -> None:
    overlap = rank_biased_overlap(first, second)
    assert overlap == rank_biased_overlap(second, first)
    assert -1e-12 <= overlap <= 1 + 1e-12


def test_agreement_at_the_top_weighs_more() -> None:
    assert rank_biased_overlap("abcd", "abxy") > rank_biased_overlap("abcd", "xycd")


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0, float("nan")])
def test_persistence_out_of_range_is_rejected(p: float) -> None:
    with pytest.raises(ValueError, match="greater than 0 and less than 1"):
        rank_biased_overlap("a", "a", p)
