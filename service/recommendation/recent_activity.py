"""What users did since training, in memory: what must not be recommended, and something to stand on."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

Kind = Literal["rating", "watch", "click"]
USERS, ITEMS = 100_000, 500  # kept at most, and of each user; the longest unheard of go first
NOTHING: Mapping[str, float | None] = {}


class Visitors:
    """Users by id, each with the items they rated (stars) or watched (None) since training."""

    def __init__(self, users: int = USERS, items: int = ITEMS) -> None:
        self._users, self._items = users, items
        self._history: OrderedDict[str, dict[str, float | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._history)

    def note(self, user: str, item: str, kind: Kind, value: float) -> None:
        """Remember one thing that a user did. A click says nothing of what was seen."""
        if kind == "click":
            return
        history = self._history.setdefault(user, {})
        self._history.move_to_end(user)
        rating = value if kind == "rating" else history.get(item)
        history.pop(item, None)  # the latest thing stands last
        history[item] = rating
        if len(history) > self._items:
            del history[next(iter(history))]
        if len(self._history) > self._users:
            self._history.popitem(last=False)

    def of(self, user: str) -> Mapping[str, float | None]:
        """A user's items: the stars given, or None where it was watched and not rated."""
        return self._history.get(user, NOTHING)
