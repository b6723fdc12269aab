"""Genre affinity, with values computed by hand."""

from itertools import pairwise

import numpy as np
import pytest

from marquee.model.genre_affinity import NO_GENRE, GenreAffinity
from marquee.top_n import PADDING

# Six items with 20 ratings in all: 12 of comedies, 10 of dramas, 4 of horror films.
ITEM_GENRES = ["Comedy", "Comedy|Drama", "Drama", "Horror", "", "Horror"]
COUNTS = np.array([6, 6, 4, 3, 0, 1])


@pytest.fixture
def affinity() -> GenreAffinity:
    return GenreAffinity.from_item_genres(ITEM_GENRES, COUNTS)


def test_genres_are_sorted_and_item_with_two_genres_counts_for_both(affinity: GenreAffinity) -> None:
    assert affinity.genres == ("Comedy", "Drama", "Horror")
    np.testing.assert_allclose(affinity.shares, [12 / 20, 10 / 20, 4 / 20])
    assert affinity.item_masks[:, 1].tolist() == [True, True, False]


def test_favorite_genre_has_highest_lift(affinity: GenreAffinity) -> None:
    # Two comedies and one horror film; lifts: (2 + 6) / (3 + 10) / 0.6 = 1.03 < (1 + 2) / 13 / 0.2 = 1.15.
    assert affinity.favorite_genre([0, 1, 3]) == affinity.genres.index("Horror")
    assert affinity.favorite_genre([2]) == affinity.genres.index("Drama")


def test_user_without_ratings_of_items_with_genres_has_no_favorite_genre(affinity: GenreAffinity) -> None:
    assert affinity.favorite_genre([]) is None
    assert affinity.favorite_genre([4]) is None


def test_catalog_without_genres_has_no_affinity() -> None:
    affinity = GenreAffinity.from_item_genres(["", ""], np.array([1, 2]))
    indptr, items = np.array([0, 1]), np.array([0], dtype=np.int32)
    assert affinity.favorite_genre([0]) is None
    assert affinity.favorite_genres(indptr, items).tolist() == [NO_GENRE]
    assert affinity.popular_items_by_favorite_genre(indptr, items, 5).shape == (0, 2)


def test_favorite_genres_of_all_users_equal_those_of_each() -> None:
    rng = np.random.default_rng(3)
    item_genres = ["|".join(rng.choice(list("abcd"), rng.integers(0, 3), replace=False)) for _ in range(40)]
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 30, 50))])
    items = rng.integers(0, 40, indptr[-1]).astype(np.int32)
    affinity = GenreAffinity.from_item_genres(item_genres, np.bincount(items, minlength=40))
    single = [affinity.favorite_genre(items[start:stop].tolist()) for start, stop in pairwise(indptr)]
    expected = [NO_GENRE if genre is None else genre for genre in single]
    assert affinity.favorite_genres(indptr, items).tolist() == expected
    assert len(set(expected)) > 2


def test_popular_items_of_a_genre_are_those_rated_most_by_users_who_favor_it(affinity: GenreAffinity) -> None:
    # Two of three users favor horror films; they rated item 3 twice, items 0 and 5 once.
    indptr, items = np.array([0, 2, 4, 6]), np.array([3, 5, 3, 0, 0, 1], dtype=np.int32)
    lists = affinity.popular_items_by_favorite_genre(indptr, items, 4)
    assert affinity.favorite_genres(indptr, items).tolist() == [2, 2, 0]
    assert lists[2].tolist() == [3, 0, 5, PADDING]
    assert lists[0].tolist() == [0, 1, PADDING, PADDING]
    assert lists[1].tolist() == [PADDING] * 4
