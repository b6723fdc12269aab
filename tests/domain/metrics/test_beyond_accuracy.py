"""Beyond-accuracy metrics: compared with values computed by hand and with plain loops."""

from collections.abc import Callable
from itertools import combinations
from math import isnan, log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from marquee.array_types import Float64Array, Int32Array
from marquee.errors import DataError
from marquee.interactions.matrix import EncodedInteractions, InteractionMatrix
from marquee.metrics import beyond_accuracy
from marquee.metrics.beyond_accuracy import (
    coverage,
    diversity,
    gini,
    novelty,
    personalization,
    popularity_lift,
    profile_popularity,
)
from marquee.top_n import PADDING

N_ITEMS = 7
RATED = [[0, 1, 2], [0, 1], [0, 3], [0, 2, 1, 4]]  # items rated by each user
POPULARITY = np.array([4, 3, 2, 1, 1, 0, 0])
LISTS = np.array(
    [
        [3, 4, 5],
        [2, 3, 4],
        [1, 2, PADDING],
        [3, PADDING, PADDING],
    ],
    dtype=np.int32,
)
EMPTY_LISTS = np.full((2, 3), PADDING, dtype=np.int32)
NO_LISTS = LISTS[:0]


def make_lists(*rows: list[int]) -> Int32Array:
    return np.array(rows, dtype=np.int32)


def make_matrix(rated: list[list[int]], n_items: int = N_ITEMS) -> InteractionMatrix:
    users = np.repeat(np.arange(len(rated)), [len(row) for row in rated]).astype(np.int32)
    items = np.array([item for row in rated for item in row], dtype=np.int32)
    ids = tuple(map(str, range(len(rated)))), tuple(map(str, range(n_items)))
    return InteractionMatrix.from_encoded(EncodedInteractions(users, items, np.full(len(items), 4.0), *ids))


def random_matrix(seed: int, n_users: int, n_items: int) -> tuple[InteractionMatrix, Float64Array]:
    """Return a matrix without empty rows and columns, and its dense form of zeros and ones."""
    dense = np.random.default_rng(seed).random((n_users, n_items)) < 0.2
    dense[0], dense[:, 0] = True, True
    return make_matrix([np.flatnonzero(row).tolist() for row in dense], n_items), dense.astype(np.float64)


def random_lists(n_users: int, n_items: int, n: int) -> Int32Array:
    return np.array(
        [np.random.default_rng(user).permutation(n_items)[:n] for user in range(n_users)], dtype=np.int32
    )


METRICS: dict[str, Callable[[Int32Array, int], float]] = {
    "personalization": personalization,
    "coverage": lambda lists, n: coverage(lists, N_ITEMS, n),
    "gini": lambda lists, n: gini(lists, N_ITEMS, n),
    "novelty": lambda lists, n: novelty(lists, POPULARITY, 4, n),
    "popularity_lift": lambda lists, n: popularity_lift(lists, POPULARITY, np.full(len(lists), 2.0), n),
    "diversity": lambda lists, n: diversity(lists, make_matrix(RATED), n),
}


# Personalization


def test_personalization_is_mean_distance_over_pairs_of_users() -> None:
    lists = make_lists([0, 1, 2], [2, 1, 5], [3, 4, 5])  # pairs have 2, 0 and 1 items in common
    assert personalization(lists, 3) == pytest.approx(((1 - 2 / 3) + (1 - 0 / 3) + (1 - 1 / 3)) / 3)
    assert personalization(lists, 2) == pytest.approx(((1 - 1 / 2) + (1 - 0 / 2) + (1 - 0 / 2)) / 3)


def test_equal_lists_in_any_order_have_personalization_zero() -> None:
    assert personalization(make_lists([0, 1, 2], [2, 0, 1], [1, 2, 0]), 3) == 0


def test_disjoint_lists_have_personalization_one() -> None:
    assert personalization(make_lists([0, 1], [2, 3], [4, 5]), 2) == 1


def test_padding_does_not_count_as_common_item() -> None:
    assert personalization(make_lists([0, PADDING, PADDING], [0, PADDING, PADDING]), 3) == 1 - 1 / 3
    assert personalization(EMPTY_LISTS, 3) == 1


def test_personalization_is_undefined_for_fewer_than_two_users() -> None:
    assert isnan(personalization(LISTS[:1], 3))
    assert isnan(personalization(NO_LISTS, 3))


# Coverage and Gini


def test_coverage_counts_each_recommended_item_once() -> None:
    lists = make_lists([4, 0, 2], [1, 5, 3], [5, 1, 0], [2, PADDING, PADDING])
    assert coverage(lists, 6, 1) == 4 / 6  # 4, 1, 5, 2
    assert coverage(lists, 12, 3) == 6 / 12
    assert coverage(lists[[1, 2]], 12, 3) == 4 / 12
    assert coverage(NO_LISTS, 6, 3) == 0


def test_gini_equals_value_computed_by_hand() -> None:
    counts = [0, 1, 1, 2]  # sorted: item 3 is in no list, items 1 and 2 in one, item 0 in two
    total = sum((2 * rank - 4 - 1) * count for rank, count in enumerate(counts, 1))
    assert total == -3 * 0 + -1 * 1 + 1 * 1 + 3 * 2
    assert gini(make_lists([0, 1], [2, 0]), 4, 2) == total / (4 * 4)


def test_equally_recommended_items_have_gini_zero() -> None:
    assert gini(make_lists([0, 1], [2, 3], [4, 5]), 6, 2) == 0


def test_single_recommended_item_has_highest_gini() -> None:
    assert gini(make_lists([3, 1], [3, 2], [3, 0]), 6, 1) == (6 - 1) / 6
    assert gini(make_lists([0], [0]), 1, 1) == 0  # a catalog of one item


def test_gini_of_empty_lists_is_undefined() -> None:
    assert isnan(gini(EMPTY_LISTS, 6, 3))
    assert isnan(gini(NO_LISTS, 6, 3))


# Novelty


def test_novelty_is_mean_over_users_of_list_means() -> None:
    first = (-log2(1 / 4) - log2(1 / 4) - log2(1 / 4)) / 3  # items 3, 4 and 5; 5 has no ratings
    second = (-log2(2 / 4) - log2(1 / 4) - log2(1 / 4)) / 3
    third = (-log2(3 / 4) - log2(2 / 4)) / 2
    fourth = -log2(1 / 4)
    assert novelty(LISTS, POPULARITY, 4, 3) == pytest.approx((first + second + third + fourth) / 4)
    assert novelty(LISTS[2:], POPULARITY, 4, 1) == pytest.approx((-log2(3 / 4) - log2(1 / 4)) / 2)


def test_item_rated_by_all_users_has_novelty_zero() -> None:
    assert novelty(make_lists([0]), POPULARITY, 4, 1) == 0


def test_item_without_ratings_is_as_novel_as_item_with_one() -> None:
    unrated, rated_once = make_lists([5]), make_lists([4])
    assert novelty(unrated, POPULARITY, 4, 1) == novelty(rated_once, POPULARITY, 4, 1) == log2(4)


def test_users_with_empty_lists_are_left_out_of_novelty() -> None:
    lists = np.vstack([LISTS, EMPTY_LISTS])
    assert novelty(lists, POPULARITY, 4, 3) == novelty(LISTS, POPULARITY, 4, 3)
    assert isnan(novelty(EMPTY_LISTS, POPULARITY, 4, 3))


def test_number_of_users_below_item_popularity_is_rejected() -> None:
    with pytest.raises(DataError, match="item 0 has 4 ratings, more than n_users=2"):
        novelty(LISTS[:2], POPULARITY, 2, 3)


# Popularity lift


def test_profile_popularity_is_mean_popularity_of_rated_items() -> None:
    assert profile_popularity(make_matrix(RATED)).tolist() == [
        (4 + 3 + 2) / 3,
        (4 + 3) / 2,
        (4 + 1) / 2,
        (4 + 2 + 3 + 1) / 4,
    ]


def test_popularity_lift_compares_means_over_users() -> None:
    profiles = profile_popularity(make_matrix(RATED))
    list_mean = ((1 + 1 + 0) / 3 + (2 + 1 + 1) / 3 + (3 + 2) / 2 + 1) / 4
    profile_mean = (9 / 3 + 7 / 2 + 5 / 2 + 10 / 4) / 4
    lift = popularity_lift(LISTS, POPULARITY, profiles, 3)
    assert lift == pytest.approx((list_mean - profile_mean) / profile_mean)
    segment = [1, 2]
    list_mean, profile_mean = (2 + 3) / 2, (7 / 2 + 5 / 2) / 2
    lift = popularity_lift(LISTS[segment], POPULARITY, profiles[segment], 1)
    assert lift == pytest.approx((list_mean - profile_mean) / profile_mean)


def test_popularity_lift_is_zero_for_equal_and_one_for_double_popularity() -> None:
    profiles = profile_popularity(make_matrix([[0, 1], [0, 1]]))
    assert popularity_lift(make_lists([0, 1], [1, 0]), np.array([2, 2]), profiles, 2) == 0
    assert popularity_lift(make_lists([0, 1]), np.array([4, 8]), np.array([3.0]), 2) == (6 - 3) / 3


def test_users_without_list_or_profile_are_left_out_of_popularity_lift() -> None:
    lists = np.vstack([LISTS[:2], EMPTY_LISTS[:1], LISTS[2:3]])
    profiles = np.array([3.0, 2.0, 100.0, np.nan])
    expected = popularity_lift(LISTS[:2], POPULARITY, profiles[:2], 3)
    assert popularity_lift(lists, POPULARITY, profiles, 3) == expected
    assert isnan(popularity_lift(EMPTY_LISTS, POPULARITY, profiles[:2], 3))


def test_different_numbers_of_lists_and_profiles_are_rejected() -> None:
    with pytest.raises(DataError, match="4 lists and 3 profiles"):
        popularity_lift(LISTS, POPULARITY, np.ones(3), 3)


# Diversity


def test_diversity_equals_value_computed_by_hand() -> None:
    matrix = make_matrix(RATED)
    # Item 1 is rated by users 0, 1 and 3; item 2 by 0 and 3; item 3 by 2; item 4 by 3; item 5 by none.
    first = (1 + 1 + 1) / 3
    second = ((1 - 0 / sqrt(2 * 1)) + (1 - 1 / sqrt(2 * 1)) + (1 - 0 / sqrt(1 * 1))) / 3
    third = 1 - 2 / sqrt(3 * 2)
    # The fourth list has a single item and is left out.
    assert diversity(LISTS, matrix, 3) == pytest.approx((first + second + third) / 3)
    assert diversity(LISTS[[2]], matrix, 3) == pytest.approx(third)


def test_diversity_is_zero_for_equal_and_one_for_disjoint_raters() -> None:
    matrix = make_matrix([[0, 1, 2], [0, 1, 2], [3]])
    assert diversity(make_lists([0, 1, 2]), matrix, 3) == 0
    assert diversity(make_lists([0, 3]), matrix, 2) == 1


def test_diversity_of_single_items_is_undefined() -> None:
    assert isnan(diversity(LISTS, make_matrix(RATED), 1))
    assert isnan(diversity(LISTS[3:], make_matrix(RATED), 3))
    assert isnan(diversity(NO_LISTS, make_matrix(RATED), 3))


def test_diversity_equals_cosine_distance_of_scipy() -> None:
    matrix, dense = random_matrix(1, 150, 40)
    lists = random_lists(150, 40, 6)
    expected = np.mean([pdist(dense[:, row].T, "cosine").mean() for row in lists])
    assert diversity(lists, matrix, 6) == pytest.approx(expected)


def test_diversity_does_not_depend_on_block_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, _ = random_matrix(2, 150, 40)
    lists = random_lists(150, 40, 6)
    expected = diversity(lists, matrix, 6)
    for name, size in {"USERS_PER_BLOCK": 70, "ITEMS_PER_BLOCK": 7, "PAIRS_PER_BLOCK": 11}.items():
        monkeypatch.setattr(beyond_accuracy, name, size)
    assert diversity(lists, matrix, 6) == expected


# All metrics


@pytest.mark.parametrize("name", METRICS)
def test_metric_ignores_order_and_positions_after_n(name: str) -> None:
    lists = np.hstack([LISTS[:, [2, 0, 1]], make_lists([0], [0], [0], [0])])
    assert METRICS[name](lists, 3) == pytest.approx(METRICS[name](LISTS, 3))


@pytest.mark.parametrize("name", METRICS)
def test_metric_rejects_lists_shorter_than_n(name: str) -> None:
    for n in (0, 4):
        with pytest.raises(DataError, match=rf"{name}@{n} needs .* \(got 3 items\)"):
            METRICS[name](LISTS, n)


@pytest.mark.parametrize("name", METRICS)
def test_metric_rejects_duplicate_items(name: str) -> None:
    with pytest.raises(DataError, match="the list in row 1 contains an item twice"):
        METRICS[name](make_lists([0, 1, 2], [3, 2, 3]), 3)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "personalization"])
def test_metric_rejects_unknown_items(name: str) -> None:
    with pytest.raises(DataError, match="the lists contain item 7, but training has only 7 items"):
        METRICS[name](make_lists([0, 7]), 2)


@given(st.data())
def test_metrics_equal_plain_loops(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(2, 5)), data.draw(st.integers(2, 7))
    n = data.draw(st.integers(1, n_items))
    rated = [sorted(data.draw(st.sets(st.integers(0, n_items - 1), min_size=1))) for _ in range(n_users)]
    rows = [
        data.draw(st.permutations(range(n_items)))[: data.draw(st.integers(1, n))] for _ in range(n_users)
    ]
    lists = make_lists(*([*row, *[PADDING] * (n - len(row))] for row in rows))
    matrix = make_matrix(rated, n_items)
    popularity = [sum(item in row for row in rated) for item in range(n_items)]

    pairs = list(combinations(rows, 2))
    distances = [1 - len(set(first) & set(second)) / n for first, second in pairs]
    assert personalization(lists, n) == pytest.approx(sum(distances) / len(pairs))

    counts = [sum(item in row for row in rows) for item in range(n_items)]
    differences = sum(abs(first - second) for first in counts for second in counts)
    assert gini(lists, n_items, n) == pytest.approx(differences / (2 * n_items * sum(counts)))
    assert coverage(lists, n_items, n) == sum(count > 0 for count in counts) / n_items

    bits = [-sum(log2(max(popularity[item], 1) / n_users) for item in row) / len(row) for row in rows]
    assert novelty(lists, np.array(popularity), n_users, n) == pytest.approx(sum(bits) / n_users)

    list_total, profile_total = (
        sum(sum(popularity[item] for item in row) / len(row) for row in side) for side in (rows, rated)
    )
    lift = popularity_lift(lists, np.array(popularity), profile_popularity(matrix), n)
    assert lift == pytest.approx((list_total - profile_total) / profile_total)

    raters = [{user for user, row in enumerate(rated) if item in row} for item in range(n_items)]
    list_distances = [
        [1 - cosine(raters[first], raters[second]) for first, second in combinations(row, 2)]
        for row in rows
        if len(row) > 1
    ]
    if list_distances:
        means = [sum(row) / len(row) for row in list_distances]
        assert diversity(lists, matrix, n) == pytest.approx(sum(means) / len(means))


def cosine(first: set[int], second: set[int]) -> float:
    return len(first & second) / sqrt(len(first) * len(second)) if first and second else 0.0
