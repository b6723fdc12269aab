"""Context of a user: feedback since training, with the weights of training and without what it contains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marquee.events import Feedback, FeedbackKind
from marquee.model.feedback_weights import FeedbackWeights, WeightAggregation
from marquee.model.fitted_model import FittedModel, load_model
from service.recommendation.recent_activity import MAX_EVENTS_PER_ITEM, RecentActivity
from service.recommendation.recommender import RecommendationRequest, Recommender, UserContext
from service.recommendation.shown_items import ShownItems
from service.recommendation.user_context import build_user_context
from tests.support.manifest_fields import IMPLICIT_FIELDS, MANIFEST_FIELDS
from tests.support.sample_replica import write_sample_model

TRAINED_UNTIL = 1000.0
BuildModel = Callable[..., FittedModel]


@pytest.fixture
def build_model(tmp_path: Path) -> BuildModel:
    def build(**fields: Any) -> FittedModel:
        return load_model(write_sample_model(tmp_path / "fitted", **{**MANIFEST_FIELDS, **fields}))

    return build


def feedback(
    item: str, kind: FeedbackKind, value: float = 1.0, *, time: float = 2000.0, user: str = "ann"
) -> Feedback:
    return Feedback(f"{user}-{item}-{kind}-{time}", time, user, item, kind, value)


def context(model: FittedModel, *events: Feedback, user: str = "ann") -> UserContext:
    activity = RecentActivity()
    for event in events:
        activity.record(event)
    return build_user_context(model, user, activity.events_by_item(user))


def test_latest_rating_counts_whatever_the_order_of_arrival(build_model: BuildModel) -> None:
    events = feedback("i3", "rating", 2.0, time=3000), feedback("i3", "rating", 5.0, time=2000)
    assert context(build_model(), *events).recent == {3: 2.0}


def test_clicks_and_watches_have_the_weights_of_training(build_model: BuildModel) -> None:
    weights = FeedbackWeights(click=1.0, watch=3.0, counts_minutes=True)
    model = build_model(**IMPLICIT_FIELDS, feedback_weights=weights)
    events = feedback("i1", "click"), feedback("i2", "watch", 90.0), feedback("i2", "click", time=2001.0)
    user = context(model, *events)
    assert (user.clicked, user.recent) == ({1: 1.0}, {2: 271.0})


@pytest.mark.parametrize(
    ("aggregation", "expected"), [("sum", 5 + 3.0 + 1.0), ("count", 5 + 2.0), ("max", 5.0), ("last", 1.0)]
)
def test_new_events_are_aggregated_with_the_training_value(
    build_model: BuildModel, aggregation: WeightAggregation, expected: float
) -> None:
    weights = FeedbackWeights(click=1.0, watch=3.0, aggregation=aggregation)
    model = build_model(**IMPLICIT_FIELDS, feedback_weights=weights)
    user = context(model, feedback("i0", "watch"), feedback("i0", "click", time=2001.0))
    assert user.recent == {0: expected}  # the weight of i0 in training is 5


def test_event_that_training_contains_does_not_count_again(build_model: BuildModel) -> None:
    model = build_model(**IMPLICIT_FIELDS, trained_until=TRAINED_UNTIL)
    assert not context(model, feedback("i0", "click", time=TRAINED_UNTIL)).history
    assert context(model, feedback("i0", "click", time=TRAINED_UNTIL + 1)).history == {0: 6.0}


def test_old_event_that_training_does_not_contain_counts(build_model: BuildModel) -> None:
    model = build_model(trained_until=TRAINED_UNTIL)
    assert context(model, feedback("i3", "rating", 5.0, time=1.0)).recent == {3: 5.0}
    assert context(model, feedback("i0", "rating", 5.0, time=1.0, user="new"), user="new").recent == {0: 5.0}


def test_click_does_not_replace_a_rating_of_training(build_model: BuildModel) -> None:
    assert not context(build_model(), feedback("i0", "click")).history


def test_feedback_on_unknown_items_leaves_no_history(build_model: BuildModel) -> None:
    model = build_model()
    user = context(model, feedback("new-item", "click", user="new"), user="new")
    assert user == UserContext()
    assert Recommender(model).recommend(user, RecommendationRequest(3)).fallback_level == "popular"


def test_activity_is_bounded_and_repeated_events_change_nothing() -> None:
    activity = RecentActivity(max_users=2, max_items_per_user=3)
    assert activity.record(feedback("i0", "click"))
    assert not activity.record(feedback("i0", "click"))
    for number in range(10_000):
        activity.record(feedback(f"i{1 + number % 3}", "click", time=float(number)))
    events = activity.events_by_item("ann")
    assert set(events) == {"i1", "i2", "i3"}
    assert events["i1"][-1].time == 9999
    assert {len(each) for each in events.values()} == {MAX_EVENTS_PER_ITEM}
    for user in ("bob", "eve"):
        activity.record(feedback("i0", "click", user=user))
    assert len(activity) == 2
    assert not activity.events_by_item("ann")


def test_number_of_events_of_all_users_is_bounded() -> None:
    activity = RecentActivity(max_items_per_user=3, max_events=6)
    for user in ("ann", "bob"):
        for number in range(4):
            activity.record(feedback(f"i{number}", "click", user=user))
    assert len(activity) == 2
    activity.record(feedback("i3", "click", time=2001.0, user="ann"))
    assert not activity.events_by_item("bob")
    assert set(activity.events_by_item("ann")) == {"i1", "i2", "i3"}


def test_repeated_event_does_not_make_its_item_the_newest() -> None:
    activity = RecentActivity(max_items_per_user=2)
    for item in ("i0", "i1", "i0", "i2"):
        activity.record(feedback(item, "click"))
    assert set(activity.events_by_item("ann")) == {"i1", "i2"}


def test_number_of_shown_items_of_all_users_is_bounded() -> None:
    shown = ShownItems(60.0, max_items_per_user=3, max_items=6)
    for user in ("ann", "bob", "ann"):
        shown.record(user, ("i0", "i1", "i2", "i3"), 100.0)
    assert len(shown) == 2
    shown.record("eve", ("i0",), 100.0)
    assert [len(shown.held_back_items(user, 101.0)) for user in ("ann", "bob", "eve")] == [3, 0, 1]
    assert not shown.held_back_items("ann", 160.0)
    shown.record("eve", ("i1", "i2"), 161.0)
    shown.record("bob", ("i0", "i1", "i2"), 161.0)
    assert len(shown.held_back_items("eve", 162.0)) == 2


def test_shown_items_are_held_back_until_the_time_is_over() -> None:
    shown = ShownItems(60.0, max_users=2, max_items_per_user=3)
    shown.record("ann", ("i0", "i1"), 100.0)
    shown.record("ann", ("i1",), 130.0)
    shown.record("ann", ("i1",), 120.0)  # the same exposures, read from disk
    assert set(shown.held_back_items("ann", 159.0)) == {"i0", "i1"}
    assert set(shown.held_back_items("ann", 160.0)) == {"i1"}
    assert not shown.held_back_items("ann", 190.0)
    shown.record("ann", ("i0", "i1", "i2", "i3"), 200.0)
    assert set(shown.held_back_items("ann", 201.0)) == {"i1", "i2", "i3"}
    for user in ("bob", "eve"):
        shown.record(user, ("i0",), 201.0)
    assert not shown.held_back_items("ann", 202.0)
    assert len(shown) == 2


def test_item_that_was_shown_and_clicked_is_not_held_back(build_model: BuildModel) -> None:
    activity = RecentActivity()
    activity.record(feedback("i3", "click"))
    user = build_user_context(build_model(), "ann", activity.events_by_item("ann"), ("i2", "i3", "gone"))
    assert user.held_back == {2}
