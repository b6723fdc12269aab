"""The fallback ladder: a known user's own list, and what is popular for everybody else."""

from pathlib import Path

import numpy as np
import pytest
from described import DESCRIPTION

from marquee.model import ModelArrays, load_model, write_model
from marquee.strings import StringTable
from marquee.topn import NONE
from service.recommender import Recommender

ITEMS = ["i0", "i1", "i2", "i3", "i4", "i5"]
TITLES = ["Alien", "Amélie", "七人の侍", "Da 5 Bloods", '"Q", & A', "Ёлки"]
# Most rated first: i4, i0, i1, i2, i3, i5.
POPULAR, COUNTS = [4, 0, 1, 2, 3, 5], [3, 2, 2, 1, 1, 1]
USERS = {
    "ann": ([0, 4], [3, 2]),  # (rated in training, stored list)
    "bob": ([0, 1, 2, 4], [5]),  # has a list that is shorter than the table is wide
    "zoë/3": ([0, 1, 2, 3, 4, 5], []),  # rated everything
    "eve": ([4], []),  # has no list, though most is unseen
}


def write_small_model(folder: Path) -> Path:
    """Four users, six items; written by hand, so that every answer can be read off the tables above."""
    seen = [rated for rated, _ in USERS.values()]
    lists = [(own + [NONE] * 2)[:2] for _, own in USERS.values()]
    scores = np.where(np.array(lists) == NONE, np.nan, [4.75, 4.25])
    arrays = ModelArrays(
        users=StringTable.of(list(USERS)),
        items=StringTable.of(ITEMS),
        titles=StringTable.of(TITLES),
        genres=StringTable.of(["Drama"] * len(ITEMS)),
        top_items=np.array(lists, dtype=np.int32),
        top_scores=scores.astype(np.float32),
        popular_items=np.array(POPULAR, dtype=np.int32),
        popular_counts=np.array(COUNTS, dtype=np.int64),
        seen_indptr=np.cumsum([0, *map(len, seen)], dtype=np.int64),
        seen_items=np.array([item for rated in seen for item in rated], dtype=np.int32),
    )
    write_model(folder, arrays, DESCRIPTION)
    return folder


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    return Recommender(load_model(write_small_model(tmp_path_factory.mktemp("models") / "fitted")))


def ids(recommender: Recommender, user: str, n: int) -> list[str]:
    return [chosen.item for chosen in recommender.recommend(user, n).items]


def test_a_known_user_gets_their_own_list(recommender: Recommender) -> None:
    answer = recommender.recommend("ann", 2)
    assert answer.user == "ann"
    assert answer.rung == "personal"
    assert [(c.item, c.title, c.score) for c in answer.items] == [
        ("i3", "Da 5 Bloods", 4.75),
        ("i2", "七人の侍", 4.25),
    ]


def test_fewer_are_the_first_of_the_list(recommender: Recommender) -> None:
    assert ids(recommender, "ann", 1) == ["i3"]


def test_an_unknown_user_gets_what_is_popular(recommender: Recommender) -> None:
    answer = recommender.recommend("nobody", 3)
    assert answer.rung == "popular"
    assert [c.item for c in answer.items] == ["i4", "i0", "i1"]
    assert {c.score for c in answer.items} == {None}


def test_after_the_end_of_a_list_comes_what_is_popular_and_unseen(recommender: Recommender) -> None:
    answer = recommender.recommend("ann", 10)
    assert answer.rung == "personal"
    assert [c.item for c in answer.items] == ["i3", "i2", "i1", "i5"]
    assert [c.score for c in answer.items] == [4.75, 4.25, None, None]


def test_a_known_user_without_a_list_gets_what_is_popular_and_unseen(recommender: Recommender) -> None:
    answer = recommender.recommend("eve", 2)
    assert answer.rung == "popular"
    assert [c.item for c in answer.items] == ["i0", "i1"]


def test_a_user_who_rated_everything_gets_nothing(recommender: Recommender) -> None:
    assert recommender.recommend("zoë/3", 5).items == ()


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_no_list_has_a_seen_item_or_one_item_twice(recommender: Recommender, user: str, n: int) -> None:
    seen = {ITEMS[item] for item in USERS[user][0]}
    answer = ids(recommender, user, n)
    assert not seen & set(answer)
    assert len(answer) == len(set(answer)) == min(n, len(ITEMS) - len(seen))


def test_padding_is_never_recommended(recommender: Recommender) -> None:
    assert ids(recommender, "bob", 2) == ["i5", "i3"]


def test_more_than_the_catalogue_is_the_catalogue(recommender: Recommender) -> None:
    assert ids(recommender, "nobody", 100) == [ITEMS[item] for item in POPULAR]
