"""Fallback chain: the level that serves each user, and the items that no level returns."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.model.fitted_model import load_model
from service.recommendation.deadline import NO_DEADLINE, Deadline
from service.recommendation.level_costs import LevelCosts
from service.recommendation.recommender import (
    RecommendationRequest,
    Recommendations,
    Recommender,
    UserContext,
)
from service.recommendation.shop_rules import ShopRules
from tests.support.manifest_fields import IMPLICIT_FIELDS, SEPARATE_FIELDS
from tests.support.sample_replica import GENRES, ITEMS, ITEMS_BY_POPULARITY, USERS, write_sample_model

UNKNOWN_USER = UserContext()
COMEDY_FAN = UserContext(recent={4: 5.0})  # not in the training data; gave i4 five stars
DRAMA_FAN = UserContext(recent={3: 5.0, 2: 5.0})


@pytest.fixture(scope="module")
def list_recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Recommender of a model without factors."""
    return Recommender(load_model(write_sample_model(tmp_path_factory.mktemp("models") / "fitted")))


@pytest.fixture(scope="module")
def factor_recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Recommender of a model with factors."""
    folder = write_sample_model(tmp_path_factory.mktemp("models") / "fitted", scorers="factors")
    return Recommender(load_model(folder))


@pytest.fixture(scope="module")
def item_recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Recommender of an item-item model: an item supports the next one by 2 and the one before by 1."""
    folder = tmp_path_factory.mktemp("models") / "fitted"
    return Recommender(load_model(write_sample_model(folder, scorers="item weights", **SEPARATE_FIELDS)))


@pytest.fixture(scope="module")
def shared_list_recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Recommender that gives nearly the same list to everybody."""
    folder = tmp_path_factory.mktemp("models") / "fitted"
    return Recommender(load_model(write_sample_model(folder, scorers="factors", list_agreement=0.95)))


def known_user(recommender: Recommender, user: str, **recent_ratings: float) -> UserContext:
    """Return the context of a user in the training data, with ratings since training."""
    recent: dict[int, float | None] = {ITEMS.index(item): stars for item, stars in recent_ratings.items()}
    return UserContext(recommender.model.inner_user_id(user), recent)


def item_ids(recommendations: Recommendations) -> list[str]:
    return [ITEMS[item] for item, _ in recommendations.items]


def genre_index(recommender: Recommender, name: str) -> int:
    return recommender.model.genre_affinity.genres.index(name)


def test_known_user_gets_stored_list(list_recommender: Recommender) -> None:
    user = known_user(list_recommender, "ann")
    recommendations = list_recommender.recommend(user, RecommendationRequest(2))
    assert recommendations == Recommendations("personal", ((3, 4.75), (2, 4.25)))


def test_request_for_few_items_gets_the_start_of_the_list(list_recommender: Recommender) -> None:
    user = known_user(list_recommender, "ann")
    assert item_ids(list_recommender.recommend(user, RecommendationRequest(1))) == ["i3"]


def test_unknown_user_gets_popular_items(list_recommender: Recommender) -> None:
    recommendations = list_recommender.recommend(UNKNOWN_USER, RecommendationRequest(3))
    assert recommendations == Recommendations("popular", ((4, None), (0, None), (1, None)))


def test_all_items_are_scored_if_filters_exhaust_the_list(factor_recommender: Recommender) -> None:
    request = RecommendationRequest(2, exclude=frozenset({3}))
    recommendations = factor_recommender.recommend(known_user(factor_recommender, "ann"), request)
    assert recommendations.fallback_level == "live"
    assert item_ids(recommendations) == ["i2", "i1"]  # i2 from the list, then i1 by its bias, ahead of i5
    assert recommendations.items[1][1] == pytest.approx(3.9)


def test_unknown_user_with_rating_is_folded_in(factor_recommender: Recommender) -> None:
    recommendations = factor_recommender.recommend(COMEDY_FAN, RecommendationRequest(2))
    assert recommendations.fallback_level == "folded"
    assert item_ids(recommendations) == ["i1", "i5"]  # the other comedies, though i0 has the highest bias


def test_low_rating_moves_recommendations_to_another_genre(factor_recommender: Recommender) -> None:
    user = UserContext(recent={4: 1.0})
    assert item_ids(factor_recommender.recommend(user, RecommendationRequest(1))) == ["i0"]


def test_watched_item_without_rating_is_excluded_but_not_folded_in(factor_recommender: Recommender) -> None:
    recommendations = factor_recommender.recommend(UserContext(recent={4: None}), RecommendationRequest(2))
    assert recommendations.fallback_level != "folded"
    assert "i4" not in item_ids(recommendations)


def test_unknown_user_gets_group_items_if_model_has_no_factors(list_recommender: Recommender) -> None:
    # Drama is the favorite genre of bob (i2) and zoë; i3 is also a war film.
    assert list_recommender.recommend(DRAMA_FAN, RecommendationRequest(1)).fallback_level == "group"


def test_exhausted_group_is_followed_by_popular_items(list_recommender: Recommender) -> None:
    recommendations = list_recommender.recommend(DRAMA_FAN, RecommendationRequest(10))
    assert recommendations.fallback_level in {"group", "popular"}
    assert set(item_ids(recommendations)) == {"i0", "i1", "i4", "i5"}


def test_fallback_level_is_the_lowest_that_contributed_an_item(list_recommender: Recommender) -> None:
    user = known_user(list_recommender, "eve")
    recommendations = list_recommender.recommend(user, RecommendationRequest(5))
    assert recommendations.fallback_level in {"group", "popular"}
    assert len(recommendations.items) == 5


def test_genre_filter_is_exact(factor_recommender: Recommender) -> None:
    request = RecommendationRequest(3, genre=genre_index(factor_recommender, "Comedy"))
    recommendations = factor_recommender.recommend(UNKNOWN_USER, request)
    assert recommendations.fallback_level == "popular"
    assert item_ids(recommendations) == ["i4", "i1", "i5"]
    assert recommendations.relaxed_filters == ()


def test_exhausted_genre_is_relaxed_and_reported(list_recommender: Recommender) -> None:
    request = RecommendationRequest(2, genre=genre_index(list_recommender, "Horror"))
    recommendations = list_recommender.recommend(known_user(list_recommender, "bob"), request)
    assert recommendations == Recommendations("static", ((3, None), (5, None)), ("genre",))


def test_static_items_of_the_operator_come_last(list_recommender: Recommender) -> None:
    policy = ShopRules(static=("i5", "no such item", "i2"))
    recommender = Recommender(list_recommender.model, policy)
    request = RecommendationRequest(2, genre=genre_index(recommender, "War"), exclude=frozenset({3}))
    assert item_ids(recommender.recommend(UNKNOWN_USER, request)) == ["i5", "i2"]


def test_user_who_rated_everything_gets_nothing(list_recommender: Recommender) -> None:
    user = known_user(list_recommender, "zoë/3")
    assert list_recommender.recommend(user, RecommendationRequest(5)).items == ()


def test_items_rated_since_training_are_excluded(list_recommender: Recommender) -> None:
    user = known_user(list_recommender, "ann", i3=5.0)
    assert "i3" not in item_ids(list_recommender.recommend(user, RecommendationRequest(4)))


def test_list_contains_at_most_the_whole_catalog(list_recommender: Recommender) -> None:
    recommendations = list_recommender.recommend(UNKNOWN_USER, RecommendationRequest(100))
    assert item_ids(recommendations) == [ITEMS[item] for item in ITEMS_BY_POPULARITY]


class ManualClock:
    """Clock whose time a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_scoring_is_skipped_after_the_deadline(factor_recommender: Recommender) -> None:
    clock = ManualClock()
    deadline = Deadline.after(0.05, clock.now, clock)
    clock.now = 0.06
    recommendations = factor_recommender.recommend(COMEDY_FAN, RecommendationRequest(2), deadline)
    assert recommendations.fallback_level in {"group", "popular"}
    assert len(recommendations.items) == 2


def test_slow_level_is_skipped_and_later_retried(factor_recommender: Recommender) -> None:
    factor_recommender.costs.seconds["folded"] = 1.0
    deadline = Deadline.after(0.05, 0.0, ManualClock())
    levels = [
        factor_recommender.recommend(COMEDY_FAN, RecommendationRequest(1), deadline).fallback_level
        for _ in range(40)
    ]
    assert levels[0] != "folded"
    assert levels[-1] == "folded"
    factor_recommender.costs.seconds.clear()


def test_single_slow_call_does_not_make_a_level_be_skipped() -> None:
    costs, clock = LevelCosts(), ManualClock()
    for is_admitted in (True, False):
        with costs.measure("folded", clock):
            clock.now += 0.5
        deadline = Deadline.after(0.05, clock.now, clock)
        assert costs.admit("folded", deadline) == is_admitted


def test_dislikes_do_not_decide_the_favorite_genre(list_recommender: Recommender) -> None:
    disliking = UserContext(recent={2: 1.0, 3: 1.0})
    assert list_recommender.recommend(disliking, RecommendationRequest(2)).fallback_level == "popular"


def test_similar_items_are_followed_by_popular_items_of_a_shared_genre(list_recommender: Recommender) -> None:
    assert list_recommender.similar(0, 2) == Recommendations("personal", ((2, 0.5), (3, 0.25)))
    similar = list_recommender.similar(1, 3)
    assert similar.fallback_level == "popular"
    assert item_ids(similar) == ["i4", "i5", "i0"]  # the comedies, then the rest
    assert "i1" not in item_ids(list_recommender.similar(1, 100))


def test_visitor_with_ratings_gets_a_list_from_item_weights(item_recommender: Recommender) -> None:
    user = UserContext(recent={1: 5.0, 2: 4.0})  # 1 supports 2 and 0, 2 supports 3 and 1
    recommendations = item_recommender.recommend(user, RecommendationRequest(2))
    assert recommendations == Recommendations("folded", ((3, 2.0), (0, 1.0)))


def test_visitor_with_three_clicks_gets_a_list_from_item_weights(item_recommender: Recommender) -> None:
    user = UserContext(clicked=dict.fromkeys((1, 2, 3)))
    recommendations = item_recommender.recommend(user, RecommendationRequest(3, exclude=frozenset({1, 2, 3})))
    assert recommendations.fallback_level == "folded"
    assert item_ids(recommendations) == ["i4", "i0", "i5"]


def test_clicked_item_may_be_recommended_again(item_recommender: Recommender) -> None:
    user = UserContext(clicked=dict.fromkeys((1, 2)))
    assert "i2" in item_ids(item_recommender.recommend(user, RecommendationRequest(3)))


def test_visitor_whose_ratings_do_not_count_is_not_scored(item_recommender: Recommender) -> None:
    user = UserContext(recent={1: 1.0})  # below the threshold of 4
    assert item_recommender.recommend(user, RecommendationRequest(2)).fallback_level in {"group", "popular"}


def test_exhausted_list_is_followed_by_scores_of_the_history(item_recommender: Recommender) -> None:
    # Ann chose i0 and i4: i1 and i5 get 2 from the item before them, i5 and i3 get 1 from the item after.
    request = RecommendationRequest(2, exclude=frozenset({3, 2}))
    recommendations = item_recommender.recommend(known_user(item_recommender, "ann"), request)
    assert recommendations == Recommendations("live", ((5, 3.0), (1, 2.0)))


def test_recent_rating_of_a_known_user_changes_live_scores(item_recommender: Recommender) -> None:
    request = RecommendationRequest(1, exclude=frozenset({3, 2, 5}))
    user = known_user(item_recommender, "ann")
    assert item_recommender.recommend(user, request).items == ((1, 2.0),)
    clicked = UserContext(user.inner_id, clicked={2: None})
    assert item_recommender.recommend(clicked, request).items == ((1, 3.0),)


def test_model_of_implicit_feedback_scores_visitors(tmp_path: Path) -> None:
    folder = write_sample_model(tmp_path / "fitted", scorers="implicit item weights", **IMPLICIT_FIELDS)
    user = UserContext(recent={4: None})  # watched
    recommendations = Recommender(load_model(folder)).recommend(user, RecommendationRequest(1))
    assert recommendations == Recommendations("folded", ((5, 2.0),))


def test_stored_list_of_a_shared_ranking_is_popular_not_personal(
    shared_list_recommender: Recommender,
) -> None:
    user = known_user(shared_list_recommender, "ann")
    recommendations = shared_list_recommender.recommend(user, RecommendationRequest(2))
    assert recommendations == Recommendations("popular", ((3, 4.75), (2, 4.25)))


def test_shared_ranking_is_never_scored(shared_list_recommender: Recommender) -> None:
    known = known_user(shared_list_recommender, "ann")
    exhausted = RecommendationRequest(2, exclude=frozenset({3}))
    assert shared_list_recommender.recommend(known, exhausted).fallback_level == "popular"
    assert shared_list_recommender.recommend(COMEDY_FAN, RecommendationRequest(1)).fallback_level == "popular"
    assert not shared_list_recommender.costs.seconds


def test_training_items_are_recommended_only_if_repeats_are_allowed(tmp_path: Path) -> None:
    folder = write_sample_model(tmp_path / "fitted", scorers="factors", repeats_allowed=True)
    recommender = Recommender(load_model(folder))
    everything = known_user(recommender, "zoë/3", i0=5.0)
    assert len(recommender.recommend(everything, RecommendationRequest(6)).items) == 6


@given(
    user=st.sampled_from([*USERS, None]),
    recent=st.dictionaries(st.integers(0, 5), st.one_of(st.none(), st.floats(1, 5)), max_size=6),
    exclude=st.frozensets(st.integers(0, 5)),
    hidden=st.frozensets(st.integers(0, 5)),
    genre=st.sampled_from([None, *sorted({name for text in GENRES for name in text.split("|")})]),
    n=st.integers(1, 8),
    kind=st.sampled_from(["lists", "factors", "item weights", "shared list"]),
)
def test_filters_are_exact_and_lists_are_as_long_as_possible(  # noqa: PLR0917  hypothesis passes them by name
    list_recommender: Recommender, factor_recommender: Recommender, item_recommender: Recommender,
    shared_list_recommender: Recommender, user: str | None, recent: dict[int, float | None],
    exclude: frozenset[int], hidden: frozenset[int], genre: str | None, n: int, kind: str,
) -> None:  # fmt: skip
    model = {
        "lists": list_recommender,
        "factors": factor_recommender,
        "item weights": item_recommender,
        "shared list": shared_list_recommender,
    }[kind].model
    recommender = Recommender(model, ShopRules(hidden=tuple(ITEMS[item] for item in hidden)))
    context = UserContext(None if user is None else model.inner_user_id(user), recent)
    request = RecommendationRequest(n, exclude, None if genre is None else genre_index(recommender, genre))
    recommendations = recommender.recommend(context, request, NO_DEADLINE)
    training_items = set(USERS[user][0]) if user else set()
    allowed = set(range(6)) - training_items - set(recent) - exclude - hidden
    in_genre = allowed if genre is None else {item for item in allowed if genre in GENRES[item].split("|")}
    recommended = [item for item, _ in recommendations.items]
    assert len(recommended) == len(set(recommended)) == min(n, len(allowed))
    assert set(recommended) <= allowed
    if recommendations.relaxed_filters:
        assert len(in_genre) < n
        assert in_genre <= set(recommended)
    else:
        assert set(recommended) <= in_genre
