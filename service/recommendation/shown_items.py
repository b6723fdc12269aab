"""In-memory store of the items that were shown to users lately, which are held back for a time."""

from collections import OrderedDict
from collections.abc import Collection, Iterable

MAX_USERS = 100_000
MAX_ITEMS_PER_USER = 500
MAX_ITEMS = 5_000_000  # of all users; about 100 bytes each


class ShownItems:
    """Items of exposures, by user; recording an exposure again changes nothing.

    The store is bounded. It first discards the users who have seen no list for the longest time, and the
    items of a user that were shown first.
    """

    def __init__(
        self,
        hold_back_s: float,
        max_users: int = MAX_USERS,
        max_items_per_user: int = MAX_ITEMS_PER_USER,
        max_items: int = MAX_ITEMS,
    ) -> None:
        """Create an empty store.

        Args:
            hold_back_s: seconds for which an item is held back after it was shown.
            max_users: number of users that are remembered.
            max_items_per_user: number of items that are remembered for each of them.
            max_items: number of items that are remembered for all of them together.
        """
        self.hold_back_s = hold_back_s
        self._max_users, self._max_items_per_user, self._max_items = max_users, max_items_per_user, max_items
        self._n_items = 0
        self._times_by_user: OrderedDict[str, dict[str, float]] = OrderedDict()

    def __len__(self) -> int:
        """Number of users in the store."""
        return len(self._times_by_user)

    def record(self, user: str, items: Iterable[str], time: float) -> None:
        """Record that items were shown to a user at `time` (UTC seconds)."""
        times = self._times_by_user.setdefault(user, {})
        self._times_by_user.move_to_end(user)
        n_before = len(times)
        for item in items:
            times[item] = max(time, times.pop(item, time))  # as the newest
        while len(times) > self._max_items_per_user:
            del times[next(iter(times))]
        self._n_items += len(times) - n_before
        while len(self) > self._max_users or (self._n_items > self._max_items and len(self) > 1):
            _, discarded = self._times_by_user.popitem(last=False)
            self._n_items -= len(discarded)

    def held_back_items(self, user: str, now: float) -> Collection[str]:
        """Return the items that are held back from a user at `now`, and forget those that no longer are."""
        times = self._times_by_user.get(user)
        if not times:
            return ()
        oldest = now - self.hold_back_s
        for item in [item for item, time in times.items() if time <= oldest]:
            del times[item]
            self._n_items -= 1
        return times.keys()
