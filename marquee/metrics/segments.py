"""Segments of users and items by their number of training ratings, for metrics per segment.

users   cold | warm | hot    thirds of the users, by activity
items   head | tail          the fewest items with half of the ratings, and all other items
"""

from dataclasses import dataclass

import numpy as np

from marquee.array_types import BoolArray, Int32Array, Int64Array
from marquee.errors import DataError

USER_SEGMENTS = ("cold", "warm", "hot")
ITEM_SEGMENTS = ("head", "tail")


@dataclass(frozen=True)
class Segments:
    """Partition of users or items: member m belongs to segment `names[assignment[m]]`."""

    names: tuple[str, ...]
    assignment: Int32Array  # (n_members,)
    counts: Int64Array  # (n_members,), training ratings of each member

    @classmethod
    def by_activity(cls, counts: Int64Array) -> "Segments":
        """Divide users into cold, warm and hot: thirds by activity rank, least active first.

        Ties are broken by inner id, so segment sizes differ by at most one (cold is filled first, then warm)
        and a cold user may have as many ratings as a warm one.

        Args:
            counts: training ratings of each user, shape (n_users,).

        >>> Segments.by_activity(np.array([50, 3, 7])).assignment.tolist()  # hot, cold, warm
        [2, 0, 1]
        """
        assignment = np.empty(len(counts), dtype=np.int32)
        assignment[np.argsort(counts, kind="stable")] = np.arange(len(counts)) * 3 // max(len(counts), 1)
        return cls(USER_SEGMENTS, assignment, counts)

    @classmethod
    def by_popularity(cls, counts: Int64Array) -> "Segments":
        """Divide items into head and tail: the head is the smallest set of items with half of the ratings.

        Ties are broken by inner id: the lower one counts as more popular.

        Args:
            counts: training ratings of each item, shape (n_items,).

        Raises:
            DataError: there are no ratings.

        >>> Segments.by_popularity(np.array([2, 5, 3])).sizes
        {'head': 1, 'tail': 2}
        """
        if not counts.any():
            raise DataError("items cannot be divided into head and tail: there are no training ratings")
        order = np.argsort(-counts, kind="stable")
        cumulative = np.cumsum(counts[order])
        n_head = 1 + int(np.argmax(2 * cumulative >= cumulative[-1]))
        assignment = np.ones(len(counts), dtype=np.int32)
        assignment[order[:n_head]] = 0
        return cls(ITEM_SEGMENTS, assignment, counts)

    @property
    def masks(self) -> dict[str, BoolArray]:
        """Mask of each segment, by name: `lists[segments.masks["cold"]]` are the lists of the cold users."""
        return {name: self.assignment == position for position, name in enumerate(self.names)}

    @property
    def sizes(self) -> dict[str, int]:
        """Number of members of each segment."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    @property
    def count_ranges(self) -> dict[str, tuple[int, int] | None]:
        """Lowest and highest number of training ratings in each segment; None if it is empty."""
        return {
            name: (int(self.counts[mask].min()), int(self.counts[mask].max())) if mask.any() else None
            for name, mask in self.masks.items()
        }
