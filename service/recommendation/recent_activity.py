"""In-memory store of user activity since training: items not to recommend, and input for scoring."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from marquee.events import Feedback, FeedbackKind

MAX_USERS = 100_000
MAX_ITEMS_PER_USER = 500
MAX_EVENTS_PER_ITEM = 20  # of one user
MAX_EVENTS = 2_000_000  # of all users; about 300 bytes each


class RecentEvent(NamedTuple):
    """A user rated, watched or clicked an item."""

    event_id: str
    time: float  # UTC seconds
    kind: FeedbackKind
    value: float  # stars of a rating, minutes of a watch, 1 for a click


EventsByItem: TypeAlias = Mapping[str, Sequence[RecentEvent]]


class RecentActivity:
    """Feedback that users have sent, by item. An event that is recorded again changes nothing.

    The store is bounded. It first discards the users who have been inactive for the longest time, the items
    of a user without feedback for the longest time, and the oldest events on an item.
    """

    def __init__(
        self,
        max_users: int = MAX_USERS,
        max_items_per_user: int = MAX_ITEMS_PER_USER,
        max_events: int = MAX_EVENTS,
    ) -> None:
        self._max_users, self._max_items, self._max_events = max_users, max_items_per_user, max_events
        self._n_events = 0
        self._events_by_user: OrderedDict[str, dict[str, list[RecentEvent]]] = OrderedDict()

    def __len__(self) -> int:
        """Number of users in the store."""
        return len(self._events_by_user)

    def record(self, feedback: Feedback) -> bool:
        """Record feedback; return False if the event was recorded before."""
        event = RecentEvent(feedback.event_id, feedback.time, feedback.kind, feedback.value)
        items = self._events_by_user.setdefault(feedback.user, {})
        events = items.get(feedback.item, [])
        if any(each.event_id == event.event_id for each in events):
            return False
        items.pop(feedback.item, None)
        items[feedback.item] = events  # as the newest
        self._events_by_user.move_to_end(feedback.user)
        events.append(event)
        self._n_events += 1
        events.sort(key=lambda each: each.time)  # stable, and events usually arrive in order
        if len(events) > MAX_EVENTS_PER_ITEM:
            del events[0]
            self._n_events -= 1
        if len(items) > self._max_items:
            self._n_events -= len(items.pop(next(iter(items))))
        while len(self) > self._max_users or (self._n_events > self._max_events and len(self) > 1):
            _, discarded = self._events_by_user.popitem(last=False)
            self._n_events -= sum(map(len, discarded.values()))
        return True

    def events_by_item(self, user: str) -> EventsByItem:
        """Return the events of a user by item id, in order of time."""
        return self._events_by_user.get(user, {})
