"""Genre affinity: how much more often a user rates a genre than other users do.

The favorite genre of a user is the one with the highest affinity, measured as lift. Recommendations of the
fallback level `group` are the items rated most by users with the same favorite genre.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from marquee.array_types import BoolArray, Float64Array, Int32Array, Int64Array
from marquee.top_n import PADDING

GENRE_SEPARATOR = "|"  # as in marquee.interactions.columns, which is not part of a Bento
NO_GENRE = -1  # of users without a favorite genre
PRIOR_RATINGS = 10  # with the overall genre shares, added to each user's: they smooth the lift


@dataclass(frozen=True)
class GenreAffinity:
    """Genres of a catalog and their shares of all ratings."""

    genres: tuple[str, ...]  # sorted
    item_masks: BoolArray  # (n_genres, n_items)
    shares: Float64Array  # (n_genres,), of all ratings; an item with two genres counts for both

    @classmethod
    def from_item_genres(cls, item_genres: Iterable[str], counts: Int64Array) -> "GenreAffinity":
        """Collect the genres of a catalog.

        Args:
            item_genres: genres of each item, separated by "|".
            counts: ratings of each item, shape (n_items,).
        """
        genres_by_item = [[genre for genre in text.split(GENRE_SEPARATOR) if genre] for text in item_genres]
        genres = tuple(sorted(set(chain.from_iterable(genres_by_item))))
        rows = {genre: row for row, genre in enumerate(genres)}
        item_masks = np.zeros((len(genres), len(genres_by_item)), dtype=bool)
        for item, genres_of_item in enumerate(genres_by_item):
            for genre in genres_of_item:
                item_masks[rows[genre], item] = True
        return cls(genres, item_masks, (item_masks @ counts) / max(int(counts.sum()), 1))

    def favorite_genre(self, items: Sequence[int]) -> int | None:
        """Return the index of the favorite genre of a user who rated these items, or None if there is none.

        The favorite genre is the one with the highest lift, if that is above 1. Lift is the genre's share of
        the user's ratings relative to its share of all ratings.
        """
        if not len(items) or not len(self.genres):
            return None
        lifts = self._lifts(self.item_masks[:, list(items)].sum(axis=1), np.array(len(items)))
        best = int(lifts.argmax())
        return best if lifts[best] > 1 else None

    def favorite_genres(self, indptr: Int64Array, items: Int32Array) -> Int32Array:
        """Return the index of every user's favorite genre, or `NO_GENRE`; shape (n_users,).

        Args:
            indptr: user u rated `items[indptr[u]:indptr[u + 1]]`.
            items: inner ids.
        """
        n_ratings = np.diff(indptr)
        if not len(self.genres):
            return np.full(len(n_ratings), NO_GENRE, dtype=np.int32)
        users = np.repeat(np.arange(len(n_ratings)), n_ratings)
        counts = np.array(
            [np.bincount(users[mask[items]], minlength=len(n_ratings)) for mask in self.item_masks]
        )
        lifts = self._lifts(counts, n_ratings)
        return np.where(lifts.max(axis=0) > 1, lifts.argmax(axis=0), NO_GENRE).astype(np.int32)

    def popular_items_by_favorite_genre(self, indptr: Int64Array, items: Int32Array, n: int) -> Int32Array:
        """Return, for each genre, the items rated most by users whose favorite it is; shape (n_genres, n).

        Ties go to the lower inner id. Rows are padded with `PADDING` if these users rated fewer than n items.
        Arguments as for `favorite_genres`.
        """
        n_items = self.item_masks.shape[1]
        width = min(n, n_items)
        lists = np.full((len(self.genres), width), PADDING, dtype=np.int32)
        genres = np.repeat(self.favorite_genres(indptr, items), np.diff(indptr))
        for genre, row in enumerate(lists):
            counts = np.bincount(items[genres == genre], minlength=n_items)
            order = np.argsort(-counts, kind="stable")[:width]
            row[:] = np.where(counts[order] > 0, order, PADDING)
        return lists

    def _lifts(self, counts: Int64Array, n_ratings: Int64Array) -> Float64Array:
        """Return the smoothed lift of each genre.

        Args:
            counts: ratings of each genre, shape (n_genres,) for a user or (n_genres, n_users).
            n_ratings: all ratings, shape () or (n_users,).
        """
        shares = self.shares.reshape(-1, *[1] * (counts.ndim - 1))
        expected = (n_ratings + PRIOR_RATINGS) * shares
        smoothed = counts + PRIOR_RATINGS * shares
        lifts = np.divide(smoothed, expected, out=np.zeros(counts.shape), where=expected > 0)
        return np.asarray(lifts)
