"""Tastes: users grouped by the genre that they rate more of than others do.

For somebody whose own list has no more to give, what those of the same taste rated most is nearer than
what everybody did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from marquee.arrays import Floats, Indices, Integers, Mask

SEPARATOR = "|"  # between the genres of an item
BETWEEN = 10  # ratings at the common shares that everybody is given: one rating is no taste
NONE = -1


@dataclass(frozen=True)
class Tastes:
    """The genres of a catalogue, and how much of all ratings each has."""

    genres: tuple[str, ...]  # sorted
    members: Mask  # (n_genres, n_items): which items are of it
    shares: Floats  # (n_genres,): of all ratings; an item of two genres counts in both

    @classmethod
    def of(cls, genres: Iterable[str], counts: Indices) -> "Tastes":
        """Of the genres of each item, separated by `|`, and each item's number of ratings."""
        split = [[genre for genre in text.split(SEPARATOR) if genre] for text in genres]
        names = tuple(sorted({genre for each in split for genre in each}))
        members = np.zeros((len(names), len(split)), dtype=bool)
        numbers = {name: number for number, name in enumerate(names)}
        places = [(numbers[genre], item) for item, each in enumerate(split) for genre in each]
        if places:
            members[tuple(np.array(places).T)] = True
        total = max(int(counts.sum()), 1)
        return cls(names, members, (members @ counts) / total)

    def favourite(self, items: Sequence[int]) -> int | None:
        """The genre of which these items have most beyond the common share, or None without any."""
        if not len(items) or not len(self.genres):
            return None
        lifts = self._lifts(self.members[:, list(items)].sum(axis=1), np.array(len(items)))
        best = int(lifts.argmax())
        return best if lifts[best] > 1 else None

    def favourites(self, indptr: Indices, items: Integers) -> Integers:
        """The same for every user of an index, shape (n_users,); `NONE` for those without."""
        sizes = np.diff(indptr)
        if not len(self.genres):
            return np.full(len(sizes), NONE, dtype=np.int32)
        users = np.repeat(np.arange(len(sizes)), sizes)
        counts = np.array(
            [np.bincount(users[of_genre[items]], minlength=len(sizes)) for of_genre in self.members]
        )
        lifts = self._lifts(counts, sizes)
        best = lifts.argmax(axis=0)
        return np.where(lifts.max(axis=0) > 1, best, NONE).astype(np.int32)

    def lists(self, indptr: Indices, items: Integers, n: int) -> Integers:
        """What the users of each taste rated most, most rated first, shape (n_genres, n).

        Of equally many ratings the lower item number comes first; rows are padded with `NONE` where
        users of the taste rated fewer items.
        """
        width = min(n, self.members.shape[1])
        found = np.full((len(self.genres), width), NONE, dtype=np.int32)
        tastes = np.repeat(self.favourites(indptr, items), np.diff(indptr))
        for genre, row in enumerate(found):
            counts = np.bincount(items[tastes == genre], minlength=self.members.shape[1])
            order = np.argsort(-counts, kind="stable")[:width]
            row[:] = np.where(counts[order] > 0, order, NONE)
        return found

    def _lifts(self, counts: Indices, sizes: Indices) -> Floats:
        """How many times its common share each genre has, shape as `counts`, a few common ratings added."""
        shares = self.shares.reshape(-1, *[1] * (counts.ndim - 1))
        expected = (sizes + BETWEEN) * shares
        lifts = np.divide(counts + BETWEEN * shares, expected, out=np.zeros(counts.shape), where=expected > 0)
        return np.asarray(lifts)
