"""In-memory store of user activity since training: items not to recommend, and input for fold-in."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from marquee.events import FeedbackKind

MAX_USERS = 100_000
MAX_ITEMS_PER_USER = 500  # consumed, and clicked


@dataclass(frozen=True)
class _UserActivity:
    """Items of one user, oldest first."""

    consumed: dict[str, float | None] = field(default_factory=dict)  # with the rating; None if only watched
    clicked: dict[str, None] = field(default_factory=dict)


_NO_ACTIVITY = _UserActivity()


class RecentActivity:
    """Items that users rated, watched or clicked since training. A click is not consumption.

    The store is bounded. It first discards the users who have been inactive for the longest time, and the
    oldest items of a user.
    """

    def __init__(self, max_users: int = MAX_USERS, max_items_per_user: int = MAX_ITEMS_PER_USER) -> None:
        self._max_users, self._max_items = max_users, max_items_per_user
        self._activity_by_user: OrderedDict[str, _UserActivity] = OrderedDict()

    def __len__(self) -> int:
        """Number of users in the store."""
        return len(self._activity_by_user)

    def record(self, user: str, item: str, kind: FeedbackKind, value: float) -> None:
        """Record that a user rated, watched or clicked an item."""
        activity = self._activity_by_user.setdefault(user, _UserActivity())
        self._activity_by_user.move_to_end(user)
        if kind == "click":
            self._add(activity.clicked, item, None)
        else:
            rating = value if kind == "rating" else activity.consumed.get(item)
            self._add(activity.consumed, item, rating)
        if len(self._activity_by_user) > self._max_users:
            self._activity_by_user.popitem(last=False)

    def ratings_by_item(self, user: str) -> Mapping[str, float | None]:
        """Return the consumed items of a user, each with its rating in stars; None if it was only watched."""
        return self._activity_by_user.get(user, _NO_ACTIVITY).consumed

    def clicked_items(self, user: str) -> Collection[str]:
        """Return the items that a user clicked."""
        return self._activity_by_user.get(user, _NO_ACTIVITY).clicked.keys()

    def _add(self, items: dict[str, Any], item: str, value: float | None) -> None:
        """Add an item as the newest, and drop the oldest if there are too many."""
        items.pop(item, None)
        items[item] = value
        if len(items) > self._max_items:
            del items[next(iter(items))]
