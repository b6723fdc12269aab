"""Users and items grouped by how many training ratings they have: whom a mean over everybody hides.

users   cold | warm | hot    a third of the users each, by activity
items   head | tail          half of the ratings each: few items, and all the others
"""

from dataclasses import dataclass

import numpy as np

from marquee.arrays import Indices, Integers, Mask
from marquee.errors import DataError

USER_GROUPS = ("cold", "warm", "hot")
ITEM_GROUPS = ("head", "tail")


@dataclass(frozen=True)
class Groups:
    """Users, or items, each in one group: member m is in group `names[numbers[m]]`."""

    names: tuple[str, ...]
    numbers: Integers  # (n_members,)
    counts: Indices  # (n_members,), the training ratings of each

    @classmethod
    def of_users(cls, counts: Indices) -> "Groups":
        """Cold, warm and hot: thirds of the users by rank of activity, the least active first.

        Of two users with equally many ratings, the lower number ranks lower, so that sizes differ by one
        at most; a cold and a warm user may therefore have equally many. What does not divide by three goes
        to cold, then to warm.

        Args:
            counts: training ratings of each user, shape (n_users,).
        """
        numbers = np.empty(len(counts), dtype=np.int32)
        numbers[np.argsort(counts, kind="stable")] = np.arange(len(counts)) * 3 // max(len(counts), 1)
        return cls(USER_GROUPS, numbers, counts)

    @classmethod
    def of_items(cls, counts: Indices) -> "Groups":
        """Head and tail: the head is the fewest most popular items that together hold half of the ratings.

        Of two items with equally many ratings, the lower number is the more popular.

        Args:
            counts: training ratings of each item, shape (n_items,).

        Raises:
            DataError: there is no rating to halve.
        """
        if not counts.any():
            raise DataError("head and tail are halves of the training ratings, and there is none")
        order = np.argsort(-counts, kind="stable")
        held = np.cumsum(counts[order])
        n_head = 1 + int(np.argmax(2 * held >= held[-1]))
        numbers = np.ones(len(counts), dtype=np.int32)
        numbers[order[:n_head]] = 0
        return cls(ITEM_GROUPS, numbers, counts)

    @property
    def masks(self) -> dict[str, Mask]:
        """Who is in each group: `lists[groups.masks["cold"]]` are the lists of the cold users."""
        return {name: self.numbers == number for number, name in enumerate(self.names)}

    @property
    def sizes(self) -> dict[str, int]:
        """Number of members of each group."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    @property
    def ranges(self) -> dict[str, tuple[int, int] | None]:
        """The fewest and the most training ratings that a member of each group has; None if it has none."""
        return {
            name: (int(self.counts[mask].min()), int(self.counts[mask].max())) if mask.any() else None
            for name, mask in self.masks.items()
        }
