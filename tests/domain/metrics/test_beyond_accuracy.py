"""What lists do to users and catalogue, by hand and against slow loops."""

from collections.abc import Callable
from itertools import combinations
from math import isnan, log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from marquee.arrays import Floats, Integers
from marquee.errors import DataError
from marquee.interactions.matrix import CodedRatings, RatingMatrix
from marquee.metrics import beyond_accuracy as lists_module
from marquee.metrics.beyond_accuracy import (
    coverage,
    diversity,
    gini,
    novelty,
    personalisation,
    popularity_lift,
    profile_popularity,
)
from marquee.top_n import NONE

N_ITEMS = 7
RATED = [[0, 1, 2], [0, 1], [0, 3], [0, 2, 1, 4]]  # 0: four users, 1: three, 2: two, 3 and 4: one, 5: none
POPULARITY = np.array([4, 3, 2, 1, 1, 0, 0])
LISTS = np.array(
    [
        [3, 4, 5],
        [2, 3, 4],
        [1, 2, NONE],
        [3, NONE, NONE],
    ],
    dtype=np.int32,
)
EMPTY = np.full((2, 3), NONE, dtype=np.int32)
NOBODY = LISTS[:0]


def rows(*items: list[int]) -> Integers:
    return np.array(items, dtype=np.int32)


def matrix_of(rated: list[list[int]], n_items: int = N_ITEMS) -> RatingMatrix:
    users = np.repeat(np.arange(len(rated)), [len(row) for row in rated]).astype(np.int32)
    items = np.array([item for row in rated for item in row], dtype=np.int32)
    ids = tuple(map(str, range(len(rated)))), tuple(map(str, range(n_items)))
    return RatingMatrix.from_coded(CodedRatings(users, items, np.full(len(items), 4.0), *ids))


METRICS: dict[str, Callable[[Integers, int], float]] = {
    "personalisation": personalisation,
    "coverage": lambda lists, n: coverage(lists, N_ITEMS, n),
    "gini": lambda lists, n: gini(lists, N_ITEMS, n),
    "novelty": lambda lists, n: novelty(lists, POPULARITY, 4, n),
    "popularity_lift": lambda lists, n: popularity_lift(lists, POPULARITY, np.full(len(lists), 2.0), n),
    "diversity": lambda lists, n: diversity(lists, matrix_of(RATED), n),
}


# Personalisation


def test_personalisation_is_the_mean_distance_over_pairs_of_users() -> None:
    lists = rows([0, 1, 2], [2, 1, 5], [3, 4, 5])  # two, none and one of three places shared
    assert personalisation(lists, 3) == pytest.approx(((1 - 2 / 3) + (1 - 0 / 3) + (1 - 1 / 3)) / 3)
    assert personalisation(lists, 2) == pytest.approx(((1 - 1 / 2) + (1 - 0 / 2) + (1 - 0 / 2)) / 3)


def test_equal_lists_have_no_personalisation_in_whatever_order() -> None:
    assert personalisation(rows([0, 1, 2], [2, 0, 1], [1, 2, 0]), 3) == 0


def test_disjoint_lists_have_all_of_it() -> None:
    assert personalisation(rows([0, 1], [2, 3], [4, 5]), 2) == 1


def test_an_empty_place_is_shared_with_nobody() -> None:
    assert personalisation(rows([0, NONE, NONE], [0, NONE, NONE]), 3) == 1 - 1 / 3
    assert personalisation(EMPTY, 3) == 1


def test_one_user_has_nobody_to_differ_from() -> None:
    assert isnan(personalisation(LISTS[:1], 3))
    assert isnan(personalisation(NOBODY, 3))


# Coverage and Gini


def test_coverage_counts_each_item_shown_once() -> None:
    lists = rows([4, 0, 2], [1, 5, 3], [5, 1, 0], [2, NONE, NONE])
    assert coverage(lists, 6, 1) == 4 / 6  # 4, 1, 5, 2
    assert coverage(lists, 12, 3) == 6 / 12
    assert coverage(lists[[1, 2]], 12, 3) == 4 / 12
    assert coverage(NOBODY, 6, 3) == 0


def test_gini_by_hand() -> None:
    exposure = [0, 1, 1, 2]  # item 3 never, 1 and 2 once, 0 twice
    total = sum((2 * place - 4 - 1) * shown for place, shown in enumerate(exposure, 1))
    assert total == -3 * 0 + -1 * 1 + 1 * 1 + 3 * 2
    assert gini(rows([0, 1], [2, 0]), 4, 2) == total / (4 * 4)


def test_equal_exposure_has_gini_zero() -> None:
    assert gini(rows([0, 1], [2, 3], [4, 5]), 6, 2) == 0


def test_one_item_with_all_exposure_has_the_highest_gini() -> None:
    assert gini(rows([3, 1], [3, 2], [3, 0]), 6, 1) == (6 - 1) / 6
    assert gini(rows([0], [0]), 1, 1) == 0  # the only item there is


def test_nothing_shown_has_no_gini() -> None:
    assert isnan(gini(EMPTY, 6, 3))
    assert isnan(gini(NOBODY, 6, 3))


# Novelty


def test_novelty_is_the_mean_of_each_list_and_then_of_the_users() -> None:
    first = (-log2(1 / 4) - log2(1 / 4) - log2(1 / 4)) / 3  # 3, 4, and 5 that nobody rated
    second = (-log2(2 / 4) - log2(1 / 4) - log2(1 / 4)) / 3
    third = (-log2(3 / 4) - log2(2 / 4)) / 2
    fourth = -log2(1 / 4)
    assert novelty(LISTS, POPULARITY, 4, 3) == pytest.approx((first + second + third + fourth) / 4)
    assert novelty(LISTS[2:], POPULARITY, 4, 1) == pytest.approx((-log2(3 / 4) - log2(1 / 4)) / 2)


def test_what_everybody_rated_is_no_news() -> None:
    assert novelty(rows([0]), POPULARITY, 4, 1) == 0


def test_an_item_that_nobody_rated_is_as_novel_as_one_that_one_user_rated() -> None:
    assert novelty(rows([5]), POPULARITY, 4, 1) == novelty(rows([4]), POPULARITY, 4, 1) == log2(4)


def test_users_with_empty_lists_have_no_novelty() -> None:
    assert novelty(np.vstack([LISTS, EMPTY]), POPULARITY, 4, 3) == novelty(LISTS, POPULARITY, 4, 3)
    assert isnan(novelty(EMPTY, POPULARITY, 4, 3))


def test_the_number_of_users_is_that_of_training_not_of_the_group() -> None:
    with pytest.raises(DataError, match="item 0 has 4 ratings from 2 users"):
        novelty(LISTS[:2], POPULARITY, 2, 3)


# Popularity lift


def test_profiles_by_hand() -> None:
    assert profile_popularity(matrix_of(RATED)).tolist() == [
        (4 + 3 + 2) / 3,
        (4 + 3) / 2,
        (4 + 1) / 2,
        (4 + 2 + 3 + 1) / 4,
    ]


def test_popularity_lift_compares_the_means_of_the_users_means() -> None:
    profiles = profile_popularity(matrix_of(RATED))
    of_lists = ((1 + 1 + 0) / 3 + (2 + 1 + 1) / 3 + (3 + 2) / 2 + 1) / 4
    of_profiles = (9 / 3 + 7 / 2 + 5 / 2 + 10 / 4) / 4
    got = popularity_lift(LISTS, POPULARITY, profiles, 3)
    assert got == pytest.approx((of_lists - of_profiles) / of_profiles)
    group = [1, 2]
    of_lists, of_profiles = (2 + 3) / 2, (7 / 2 + 5 / 2) / 2
    got = popularity_lift(LISTS[group], POPULARITY, profiles[group], 1)
    assert got == pytest.approx((of_lists - of_profiles) / of_profiles)


def test_lists_of_what_was_chosen_have_no_lift_and_twice_as_popular_ones_have_one() -> None:
    profiles = profile_popularity(matrix_of([[0, 1], [0, 1]]))
    assert popularity_lift(rows([0, 1], [1, 0]), np.array([2, 2]), profiles, 2) == 0
    assert popularity_lift(rows([0, 1]), np.array([4, 8]), np.array([3.0]), 2) == (6 - 3) / 3


def test_a_user_without_list_or_profile_is_left_out_of_both_sides() -> None:
    lists = np.vstack([LISTS[:2], EMPTY[:1], LISTS[2:3]])
    profiles = np.array([3.0, 2.0, 100.0, np.nan])
    expected = popularity_lift(LISTS[:2], POPULARITY, profiles[:2], 3)
    assert popularity_lift(lists, POPULARITY, profiles, 3) == expected
    assert isnan(popularity_lift(EMPTY, POPULARITY, profiles[:2], 3))


def test_profiles_of_other_users_are_refused() -> None:
    with pytest.raises(DataError, match="4 lists and 3 profiles"):
        popularity_lift(LISTS, POPULARITY, np.ones(3), 3)


# Diversity


def test_diversity_by_hand() -> None:
    matrix = matrix_of(RATED)
    # 1: users 0, 1, 3; 2: users 0, 3; 3: user 2; 4: user 3
    first = (1 + 1 + 1) / 3  # 3, 4, and 5 that nobody rated
    second = ((1 - 0 / sqrt(2 * 1)) + (1 - 1 / sqrt(2 * 1)) + (1 - 0 / sqrt(1 * 1))) / 3
    third = 1 - 2 / sqrt(3 * 2)
    assert diversity(LISTS, matrix, 3) == pytest.approx(
        (first + second + third) / 3
    )  # the fourth has no pair
    assert diversity(LISTS[[2]], matrix, 3) == pytest.approx(third)


def test_items_of_the_same_users_are_not_diverse_those_of_different_ones_are() -> None:
    matrix = matrix_of([[0, 1, 2], [0, 1, 2], [3]])
    assert diversity(rows([0, 1, 2]), matrix, 3) == 0
    assert diversity(rows([0, 3]), matrix, 2) == 1


def test_one_item_has_no_diversity() -> None:
    assert isnan(diversity(LISTS, matrix_of(RATED), 1))
    assert isnan(diversity(LISTS[3:], matrix_of(RATED), 3))
    assert isnan(diversity(NOBODY, matrix_of(RATED), 3))


def random_matrix(seed: int, n_users: int, n_items: int) -> tuple[RatingMatrix, Floats]:
    """A matrix and its dense form of zeros and ones, every item rated and every user rating."""
    dense = np.random.default_rng(seed).random((n_users, n_items)) < 0.2
    dense[0], dense[:, 0] = True, True
    return matrix_of([np.flatnonzero(row).tolist() for row in dense], n_items), dense.astype(np.float64)


def test_diversity_is_the_cosine_distance_of_scipy() -> None:
    matrix, dense = random_matrix(1, 150, 40)
    lists = np.array([np.random.default_rng(user).permutation(40)[:6] for user in range(150)], dtype=np.int32)
    expected = np.mean([pdist(dense[:, row].T, "cosine").mean() for row in lists])
    assert diversity(lists, matrix, 6) == pytest.approx(expected)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, _ = random_matrix(2, 150, 40)
    lists = np.array([np.random.default_rng(user).permutation(40)[:6] for user in range(150)], dtype=np.int32)
    whole = diversity(lists, matrix, 6)
    for name, size in {"USER_BLOCK": 70, "ITEM_BLOCK": 7, "PAIR_BLOCK": 11}.items():
        monkeypatch.setattr(lists_module, name, size)
    assert diversity(lists, matrix, 6) == whole


# All of them


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_the_first_places_does_not_matter_nor_does_what_follows(name: str) -> None:
    lists = np.hstack([LISTS[:, [2, 0, 1]], rows([0], [0], [0], [0])])
    assert METRICS[name](lists, 3) == pytest.approx(METRICS[name](LISTS, 3))


@pytest.mark.parametrize("name", METRICS)
def test_it_refuses_more_places_than_the_lists_have(name: str) -> None:
    for n in (0, 4):
        with pytest.raises(DataError, match=f"{name}@{n} cannot be taken of lists of 3 items"):
            METRICS[name](LISTS, n)


@pytest.mark.parametrize("name", METRICS)
def test_it_refuses_an_item_that_stands_twice(name: str) -> None:
    with pytest.raises(DataError, match="the list in row 1 names an item twice"):
        METRICS[name](rows([0, 1, 2], [3, 2, 3]), 3)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "personalisation"])
def test_it_refuses_an_item_that_does_not_exist(name: str) -> None:
    with pytest.raises(DataError, match="the lists name item 7, but there are 7 items"):
        METRICS[name](rows([0, 7]), 2)


@given(st.data())
def test_the_figures_are_those_of_slow_loops(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(2, 5)), data.draw(st.integers(2, 7))
    n = data.draw(st.integers(1, n_items))
    rated = [sorted(data.draw(st.sets(st.integers(0, n_items - 1), min_size=1))) for _ in range(n_users)]
    taken = [
        data.draw(st.permutations(range(n_items)))[: data.draw(st.integers(1, n))] for _ in range(n_users)
    ]
    lists = rows(*([*row, *[NONE] * (n - len(row))] for row in taken))
    matrix = matrix_of(rated, n_items)
    popularity = [sum(item in row for row in rated) for item in range(n_items)]

    pairs = list(combinations(taken, 2))
    distances = [1 - len(set(one) & set(other)) / n for one, other in pairs]
    assert personalisation(lists, n) == pytest.approx(sum(distances) / len(pairs))

    exposure = [sum(item in row for row in taken) for item in range(n_items)]
    differences = sum(abs(one - other) for one in exposure for other in exposure)
    assert gini(lists, n_items, n) == pytest.approx(differences / (2 * n_items * sum(exposure)))
    assert coverage(lists, n_items, n) == sum(shown > 0 for shown in exposure) / n_items

    bits = [-sum(log2(max(popularity[item], 1) / n_users) for item in row) / len(row) for row in taken]
    assert novelty(lists, np.array(popularity), n_users, n) == pytest.approx(sum(bits) / n_users)

    shown, chosen = (
        sum(sum(popularity[item] for item in row) / len(row) for row in side) for side in (taken, rated)
    )
    lift = popularity_lift(lists, np.array(popularity), profile_popularity(matrix), n)
    assert lift == pytest.approx((shown - chosen) / chosen)

    raters = [{user for user, row in enumerate(rated) if item in row} for item in range(n_items)]
    within = [
        [1 - cosine(raters[one], raters[other]) for one, other in combinations(row, 2)]
        for row in taken
        if len(row) > 1
    ]
    if within:
        means = [sum(row) / len(row) for row in within]
        assert diversity(lists, matrix, n) == pytest.approx(sum(means) / len(means))


def cosine(one: set[int], other: set[int]) -> float:
    return len(one & other) / sqrt(len(one) * len(other)) if one and other else 0.0
