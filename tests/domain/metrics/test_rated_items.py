"""NDCG over rated items only, with values computed by hand."""

from itertools import permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import DivergedError
from marquee.metrics.rated_items import rated_ndcg

Rated = tuple[int, float, bool]  # user, score, is relevant


def ndcg_by_user(rated: list[Rated], n: int) -> dict[int, float]:
    users, scores, is_relevant = zip(*rated, strict=True)
    evaluated, values = rated_ndcg(np.array(users, np.int32), scores, np.array(is_relevant), n)
    return dict(zip(evaluated.tolist(), values.tolist(), strict=True))


def test_order_of_the_users_own_items_decides() -> None:
    rated = [
        (3, 0.9, False),
        (3, 0.5, True),
        (1, 7.0, True),
        (1, 9.0, True),
        (1, 8.0, False),
        (2, 1.0, False),
    ]
    third = (1 + 1 / log2(4)) / (1 + 1 / log2(3))  # hits in positions 1 and 3
    assert ndcg_by_user(rated, 10) == pytest.approx({1: third, 3: 1 / log2(3)})


def test_positions_after_n_do_not_count() -> None:
    rated = [(0, 3.0, False), (0, 2.0, True), (0, 1.0, True)]
    assert ndcg_by_user(rated, 1) == {0: 0.0}
    assert ndcg_by_user(rated, 2) == pytest.approx({0: (1 / log2(3)) / (1 + 1 / log2(3))})


def test_user_who_likes_everything_has_the_highest_value() -> None:
    assert ndcg_by_user([(0, 1.0, True), (0, 2.0, True)], 10) == {0: 1.0}


def test_no_relevant_item_gives_no_user() -> None:
    assert ndcg_by_user([(0, 1.0, False)], 10) == {}


def test_score_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(DivergedError, match="1 scores of rated items are not finite"):
        ndcg_by_user([(0, float("nan"), True), (0, 1.0, False)], 10)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=5).filter(
        lambda items: any(is_relevant for _, is_relevant in items)
    ),
    st.integers(1, 4),
)
def test_ties_give_the_mean_over_all_orders(items: list[tuple[int, bool]], n: int) -> None:
    tied = ndcg_by_user([(0, score, is_relevant) for score, is_relevant in items], n)[0]
    values = []
    for order in permutations(range(len(items))):
        broken = [
            (0, score + 1e-6 * position, is_relevant)
            for (score, is_relevant), position in zip(items, order, strict=True)
        ]
        values.append(ndcg_by_user(broken, n)[0])
    assert tied == pytest.approx(np.mean(values))
