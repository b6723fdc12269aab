"""Tastes: the genre that somebody rates more of than others do, worked by hand."""

from itertools import pairwise

import numpy as np
import pytest

from marquee.model.genre_affinity import NONE, Tastes

# Six items; ratings of each; 20 ratings in all. Comedy has 12 of them, Drama 10, Horror 4.
GENRES = ["Comedy", "Comedy|Drama", "Drama", "Horror", "", "Horror"]
COUNTS = np.array([6, 6, 4, 3, 0, 1])


@pytest.fixture
def tastes() -> Tastes:
    return Tastes.of(GENRES, COUNTS)


def test_genres_are_sorted_and_an_item_of_two_counts_in_both(tastes: Tastes) -> None:
    assert tastes.genres == ("Comedy", "Drama", "Horror")
    np.testing.assert_allclose(tastes.shares, [12 / 20, 10 / 20, 4 / 20])
    assert tastes.members[:, 1].tolist() == [True, True, False]


def test_the_favourite_is_what_one_has_most_of_beyond_the_common_share(tastes: Tastes) -> None:
    # Two comedies, one horror: (2 + 6) / (3 + 10) / 0.6 = 1.03 against (1 + 2) / 13 / 0.2 = 1.15.
    assert tastes.favourite([0, 1, 3]) == tastes.genres.index("Horror")
    assert tastes.favourite([2]) == tastes.genres.index("Drama")


def test_without_a_rating_or_with_a_genreless_one_there_is_no_favourite(tastes: Tastes) -> None:
    assert tastes.favourite([]) is None
    assert tastes.favourite([4]) is None


def test_a_catalogue_without_genres_has_no_tastes() -> None:
    tastes = Tastes.of(["", ""], np.array([1, 2]))
    assert tastes.favourite([0]) is None
    assert tastes.favourites(np.array([0, 1]), np.array([0])).tolist() == [NONE]
    assert tastes.lists(np.array([0, 1]), np.array([0], dtype=np.int32), 5).shape == (0, 2)


def test_favourites_of_all_are_those_of_each() -> None:
    rng = np.random.default_rng(3)
    genres = ["|".join(rng.choice(list("abcd"), rng.integers(0, 3), replace=False)) for _ in range(40)]
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 30, 50))])
    items = rng.integers(0, 40, indptr[-1])
    tastes = Tastes.of(genres, np.bincount(items, minlength=40))
    each = [tastes.favourite(items[start:stop].tolist()) for start, stop in pairwise(indptr)]
    assert tastes.favourites(indptr, items).tolist() == [NONE if one is None else one for one in each]
    assert len(set(each)) > 2


def test_a_list_is_what_those_of_the_taste_rated_most(tastes: Tastes) -> None:
    # Of three users, two rate horror; between them item 3 twice, item 5 once, item 0 once.
    indptr, items = np.array([0, 2, 4, 6]), np.array([3, 5, 3, 0, 0, 1], dtype=np.int32)
    rows = tastes.lists(indptr, items, 4)
    assert tastes.favourites(indptr, items).tolist() == [2, 2, 0]
    assert rows[2].tolist() == [3, 0, 5, NONE]
    assert rows[0].tolist() == [0, 1, NONE, NONE]
    assert rows[1].tolist() == [NONE] * 4
