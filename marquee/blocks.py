"""Users and incidents by blocks of time, of both arms: what was usual before everybody had the canary.

A user counts once in a block, and so does each incident that happens to them in it. The blocks of the steps
with two arms say how often it happens, and how much that varies: an outage of something that both arms need
fills one block and no other.
"""

from collections import defaultdict

from marquee.comparison import Comparison


class Blocks:
    """Counts the present block, and has a comparison take it."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._number = -1
        self._together = False  # everybody is in the canary
        self._users = set[str]()
        self._happened: dict[str, set[str]] = defaultdict(set)  # by incident
        self._told = 0  # users of this block that the comparison has taken
        self._told_happened: dict[str, int] = defaultdict(int)

    def seen(self, user: str, time: float, weight: float) -> None:
        """A user was answered."""
        self._turn(time, weight)
        self._users.add(user)

    def happened(self, name: str, user: str, time: float, weight: float) -> None:
        """An incident happened to a user, or to whatever tells users apart where they are not known."""
        self._turn(time, weight)
        self._happened[name].add(user)

    def tell(self) -> None:
        """With everybody in the canary nothing waits for the end of a block."""
        if not self._together:
            return
        more = {name: len(users) - self._told_happened[name] for name, users in self._happened.items()}
        self._comparison.together(len(self._users) - self._told, more)
        self._told = len(self._users)
        self._told_happened.update({name: len(users) for name, users in self._happened.items()})

    def _turn(self, time: float, weight: float) -> None:
        number, together = int(time // self._comparison.block_seconds), weight == 1
        # An event that comes a little late counts in the block that is there.
        if number <= self._number and together == self._together:
            return
        if self._together:
            self.tell()
        elif self._users:
            self._comparison.apart(len(self._users), {name: len(who) for name, who in self._happened.items()})
        self._number, self._together, self._told = number, together, 0
        self._users.clear()
        self._happened.clear()
        self._told_happened.clear()
