"""Context of a user in a model: feedback that training does not contain, with the weights of training."""

from collections.abc import Iterable, Mapping, Sequence

from marquee.model.feedback_weights import FeedbackWeights
from marquee.model.fitted_model import FittedModel
from service.recommendation.recent_activity import EventsByItem, RecentEvent
from service.recommendation.recommender import UserContext

DEFAULT_WEIGHTS = FeedbackWeights()


def build_user_context(
    model: FittedModel, user: str, events: EventsByItem, shown: Iterable[str] = ()
) -> UserContext:
    """Return what a model knows about a user, and what the user did since.

    Training contains an event if the event is not later than the latest timestamp of the training data, and
    the user interacted with the item in training. Such events do not count again.

    Args:
        model: the model.
        user: user id.
        events: feedback of the user.
        shown: ids of items that were shown to the user lately.
    """
    inner_id = model.inner_user_id(user)
    trained_values = _trained_values(model, inner_id) if events else {}
    recent: dict[int, float | None] = {}
    clicked: dict[int, float | None] = {}
    for item_id, item_events in events.items():
        item = model.inner_item_id(item_id)
        if item is None:
            continue
        trained = trained_values.get(item)
        new = item_events if trained is None else _select_later(item_events, model.manifest.trained_until)
        if not new:
            continue
        value = _aggregate(model, new, trained)
        if value is None and trained is not None:
            continue  # a click or a watch says less than the rating in training
        target = clicked if all(event.kind == "click" for event in new) else recent
        target[item] = value
    held_back = {model.inner_item_id(item) for item in shown if item not in events}
    return UserContext(inner_id, recent, clicked, frozenset(item for item in held_back if item is not None))


def _trained_values(model: FittedModel, user: int | None) -> Mapping[int, float]:
    """Return the rating or weight of each item in the training data of a user."""
    if user is None:
        return {}
    training = model.arrays.training
    return dict(zip(training.items_of(user).tolist(), training.values_of(user).tolist(), strict=True))


def _select_later(events: Sequence[RecentEvent], trained_until: float | None) -> Sequence[RecentEvent]:
    """Return the events after the latest timestamp of the training data."""
    if trained_until is None:
        return events
    return [event for event in events if event.time > trained_until]


def _aggregate(model: FittedModel, events: Sequence[RecentEvent], trained: float | None) -> float | None:
    """Return the rating or weight of an item after these events; None if training has no value for them."""
    manifest = model.manifest
    if manifest.feedback == "explicit":
        ratings = [event.value for event in events if event.kind == "rating"]
        return ratings[-1] if ratings else None
    weights = manifest.feedback_weights or DEFAULT_WEIGHTS
    return weights.aggregate([weights.weigh(event.kind, event.value) for event in events], trained)
