"""The fallback ladder: who stands on which rung, and what no rung ever gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.model.fitted_model import load_model
from service.recommendation.availability import Policy
from service.recommendation.deadline import NEVER, Deadline
from service.recommendation.recommender import Answer, Person, Recommender, Wish
from tests.support.catalogues import GENRES, ITEMS, POPULAR, USERS, write_shop

NOBODY = Person()
LIKES_COMEDY = Person(rated={4: 5.0})  # a newcomer who gave i4 five stars


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Of a model without factors."""
    return Recommender(load_model(write_shop(tmp_path_factory.mktemp("models") / "fitted")))


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Of a model with factors."""
    return Recommender(load_model(write_shop(tmp_path_factory.mktemp("models") / "fitted", factors=True)))


def known(recommender: Recommender, user: str, **since: float) -> Person:
    """A user of the training data, with what they rated since."""
    rated: dict[int, float | None] = {ITEMS.index(item): stars for item, stars in since.items()}
    return Person(recommender.model.user_number(user), rated)


def ids(answer: Answer) -> list[str]:
    return [ITEMS[item] for item, _ in answer.items]


def genre(recommender: Recommender, name: str) -> int:
    return recommender.model.tastes.genres.index(name)


def test_a_known_user_gets_their_own_list(plain: Recommender) -> None:
    answer = plain.recommend(known(plain, "ann"), Wish(2))
    assert answer == Answer("personal", ((3, 4.75), (2, 4.25)))


def test_fewer_are_the_first_of_the_list(plain: Recommender) -> None:
    assert ids(plain.recommend(known(plain, "ann"), Wish(1))) == ["i3"]


def test_a_newcomer_without_a_rating_gets_what_is_popular(plain: Recommender) -> None:
    answer = plain.recommend(NOBODY, Wish(3))
    assert answer == Answer("popular", ((4, None), (0, None), (1, None)))


def test_where_filters_exhaust_the_list_all_items_are_scored(scoring: Recommender) -> None:
    answer = scoring.recommend(known(scoring, "ann"), Wish(2, exclude=frozenset({3})))
    assert answer.rung == "live"
    assert ids(answer) == ["i2", "i1"]  # of i1, i2, i5 by their biases; i2 stands on the list already
    assert answer.items[1][1] == pytest.approx(3.9)


def test_a_newcomer_with_a_rating_is_folded_in(scoring: Recommender) -> None:
    answer = scoring.recommend(LIKES_COMEDY, Wish(2))
    assert answer.rung == "folded"
    assert ids(answer) == ["i1", "i5"]  # the other comedies, though i0 has the highest bias


def test_what_a_newcomer_dislikes_moves_them_away(scoring: Recommender) -> None:
    assert ids(scoring.recommend(Person(rated={4: 1.0}), Wish(1))) == ["i0"]


def test_having_watched_is_no_rating_to_fold_in(scoring: Recommender) -> None:
    answer = scoring.recommend(Person(rated={4: None}), Wish(2))
    assert answer.rung != "folded"
    assert "i4" not in ids(answer)


def test_without_factors_a_newcomer_gets_what_their_taste_rates(plain: Recommender) -> None:
    # Drama is the taste of bob (i2) and zoë; i3 is war, too.
    answer = plain.recommend(Person(rated={3: 5.0, 2: 5.0}), Wish(1))
    assert answer.rung == "group"


def test_a_taste_that_is_exhausted_is_filled_up_with_what_is_popular(plain: Recommender) -> None:
    answer = plain.recommend(Person(rated={3: 5.0, 2: 5.0}), Wish(10))
    assert answer.rung in {"group", "popular"}
    assert set(ids(answer)) == {"i0", "i1", "i4", "i5"}


def test_an_answer_stands_on_the_lowest_rung_that_gave_an_item(plain: Recommender) -> None:
    answer = plain.recommend(known(plain, "eve"), Wish(5))
    assert answer.rung in {"group", "popular"}
    assert len(answer.items) == 5


def test_a_wish_for_a_genre_is_met_exactly_while_there_are_some(scoring: Recommender) -> None:
    answer = scoring.recommend(NOBODY, Wish(3, genre=genre(scoring, "Comedy")))
    assert (answer.rung, ids(answer), answer.relaxed) == ("popular", ["i4", "i1", "i5"], ())


def test_a_genre_that_is_exhausted_is_relaxed_and_said(plain: Recommender) -> None:
    answer = plain.recommend(known(plain, "bob"), Wish(2, genre=genre(plain, "Horror")))
    assert answer == Answer("static", ((3, None), (5, None)), ("genre",))


def test_the_operators_list_stands_at_the_end(plain: Recommender) -> None:
    recommender = Recommender(plain.model, Policy(static=("i5", "no such item", "i2")))
    wish = Wish(2, genre=genre(recommender, "War"), exclude=frozenset({3}))
    assert ids(recommender.recommend(NOBODY, wish)) == ["i5", "i2"]


def test_a_user_who_rated_everything_is_given_nothing(plain: Recommender) -> None:
    assert plain.recommend(known(plain, "zoë/3"), Wish(5)).items == ()


def test_what_was_rated_since_training_is_left_out(plain: Recommender) -> None:
    assert "i3" not in ids(plain.recommend(known(plain, "ann", i3=5.0), Wish(4)))


def test_more_than_the_catalogue_is_the_catalogue(plain: Recommender) -> None:
    assert ids(plain.recommend(NOBODY, Wish(100))) == [ITEMS[item] for item in POPULAR]


class Hands:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_that_is_over_steps_down_the_ladder(scoring: Recommender) -> None:
    clock = Hands()
    deadline = Deadline.after(0.05, clock.now, clock)
    clock.now = 0.06
    answer = scoring.recommend(LIKES_COMEDY, Wish(2), deadline)
    assert answer.rung in {"group", "popular"}
    assert len(answer.items) == 2


def test_a_rung_that_was_seen_to_take_too_long_is_left_out_and_tried_again_later(
    scoring: Recommender,
) -> None:
    scoring.costs.seconds["folded"] = 1.0
    clock = Hands()
    rungs = [
        scoring.recommend(LIKES_COMEDY, Wish(1), Deadline.after(0.05, 0.0, clock)).rung for _ in range(40)
    ]
    assert rungs[0] != "folded"
    assert rungs[-1] == "folded"
    scoring.costs.seconds.clear()


def test_similar_items_are_those_of_the_same_raters_then_popular_ones_of_a_genre(plain: Recommender) -> None:
    assert plain.similar(0, 2) == Answer("personal", ((2, 0.5), (3, 0.25)))
    answer = plain.similar(1, 3)
    assert (answer.rung, ids(answer)) == ("popular", ["i4", "i5", "i0"])  # the comedies, then the rest
    assert "i1" not in ids(plain.similar(1, 100))


def test_a_prediction_is_within_the_scale_and_says_if_it_is_none(scoring: Recommender) -> None:
    assert scoring.predict(known(scoring, "ann"), 0) == (pytest.approx(4.0), True)
    assert scoring.predict(NOBODY, 0) == (3.5, False)
    assert scoring.predict(LIKES_COMEDY, 1)[0] > scoring.predict(LIKES_COMEDY, 0)[0]
    assert scoring.predict(Person(rated=dict.fromkeys(range(6), 5.0)), 0)[0] <= 5.0


def test_without_factors_no_rating_can_be_predicted(plain: Recommender) -> None:
    assert plain.predict(known(plain, "ann"), 0) == (3.5, False)


@given(
    user=st.sampled_from([*USERS, None]),
    rated=st.dictionaries(st.integers(0, 5), st.one_of(st.none(), st.floats(1, 5)), max_size=6),
    exclude=st.frozensets(st.integers(0, 5)),
    hidden=st.frozensets(st.integers(0, 5)),
    wanted=st.sampled_from([None, *sorted({name for text in GENRES for name in text.split("|")})]),
    n=st.integers(1, 8),
    factors=st.booleans(),
)
def test_filters_are_exact_and_no_answer_is_shorter_than_it_must_be(  # noqa: PLR0917  drawn by name
    plain: Recommender, scoring: Recommender, user: str | None, rated: dict[int, float | None],
    exclude: frozenset[int], hidden: frozenset[int], wanted: str | None, n: int, factors: bool,
) -> None:  # fmt: skip
    model = (scoring if factors else plain).model
    recommender = Recommender(model, Policy(hidden=tuple(ITEMS[item] for item in hidden)))
    person = Person(None if user is None else model.user_number(user), rated)
    number = None if wanted is None else genre(recommender, wanted)
    answer = recommender.recommend(person, Wish(n, exclude, number), NEVER)
    trained = set(USERS[user][0]) if user else set()
    open_ = set(range(6)) - trained - set(rated) - exclude - hidden
    of_genre = open_ if wanted is None else {item for item in open_ if wanted in GENRES[item].split("|")}
    given_items = [item for item, _ in answer.items]
    assert len(given_items) == len(set(given_items)) == min(n, len(open_))
    assert set(given_items) <= open_
    if answer.relaxed:
        assert len(of_genre) < n
        assert of_genre <= set(given_items)
    else:
        assert set(given_items) <= of_genre
