"""In-memory store of user activity since training: items not to recommend, and input for fold-in."""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

from marquee.events import FeedbackKind

MAX_USERS = 100_000
MAX_ITEMS_PER_USER = 500
_NO_ITEMS: Mapping[str, float | None] = MappingProxyType({})


class RecentActivity:
    """Items that users rated or watched since training.

    The store is bounded. It first discards the users who have been inactive for the longest time, and the
    oldest items of a user.
    """

    def __init__(self, max_users: int = MAX_USERS, max_items_per_user: int = MAX_ITEMS_PER_USER) -> None:
        self._max_users, self._max_items = max_users, max_items_per_user
        self._items_by_user: OrderedDict[str, dict[str, float | None]] = OrderedDict()

    def __len__(self) -> int:
        """Number of users in the store."""
        return len(self._items_by_user)

    def record(self, user: str, item: str, kind: FeedbackKind, value: float) -> None:
        """Record that a user rated or watched an item. Clicks are ignored: a click is not consumption."""
        if kind == "click":
            return
        items = self._items_by_user.setdefault(user, {})
        self._items_by_user.move_to_end(user)
        rating = value if kind == "rating" else items.get(item)
        items.pop(item, None)  # reinserted as the newest
        items[item] = rating
        if len(items) > self._max_items:
            del items[next(iter(items))]
        if len(self._items_by_user) > self._max_users:
            self._items_by_user.popitem(last=False)

    def ratings_by_item(self, user: str) -> Mapping[str, float | None]:
        """Return the recent items of a user, each with its rating in stars; None if it was only watched."""
        return self._items_by_user.get(user, _NO_ITEMS)
