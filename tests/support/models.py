"""Small models written by hand, so that every answer can be read off the tables beside the test."""

from collections.abc import Mapping, Sequence

import numpy as np

from marquee.model.arrays import ModelArrays
from marquee.model.factor_space import FactorSpace
from marquee.model.genre_affinity import Tastes
from marquee.model.string_table import StringTable
from marquee.top_n import NONE

Users = Mapping[str, tuple[Sequence[int], Sequence[int]]]  # id: (rated in training, stored list)
SCORES = (4.75, 4.25, 4.0, 3.5, 3.0)  # of the first, second, ... item of every stored list


def small_arrays(
    users: Users,
    items: Sequence[str],
    *,
    titles: Sequence[str] | None = None,
    genres: Sequence[str] | None = None,
    similar: Mapping[int, Sequence[int]] | None = None,
    width: int = 2,
    factors: FactorSpace | None = None,
) -> ModelArrays:
    """The arrays of these users and items; what is popular and of a taste follows from what was rated."""
    rated = [item for each, _ in users.values() for item in each]
    indptr = np.cumsum([0, *(len(each) for each, _ in users.values())], dtype=np.int64)
    seen = np.array(rated, dtype=np.int32)
    counts = np.bincount(seen, minlength=len(items)).astype(np.int64)
    popular = np.argsort(-counts, kind="stable").astype(np.int32)
    genre_table = StringTable.of(genres or [""] * len(items))
    lists = _padded([own for _, own in users.values()], width)
    neighbours = _padded([(similar or {}).get(item, ()) for item in range(len(items))], 2)
    return ModelArrays(
        users=StringTable.of(list(users)),
        items=StringTable.of(items),
        titles=StringTable.of(titles or items),
        genres=genre_table,
        top_items=lists,
        top_scores=np.where(lists == NONE, np.nan, SCORES[:width]).astype(np.float32),
        popular_items=popular,
        popular_counts=counts[popular],
        seen_indptr=indptr,
        seen_items=seen,
        similar_items=neighbours,
        similarities=np.where(neighbours == NONE, np.nan, (0.5, 0.25)).astype(np.float32),
        taste_items=Tastes.of(genre_table, counts).lists(indptr, seen, len(items)),
        factors=factors,
    )


def _padded(lists: Sequence[Sequence[int]], width: int) -> np.ndarray:
    rows = [(list(each) + [NONE] * width)[:width] for each in lists]
    return np.array(rows, dtype=np.int32).reshape(len(lists), width)
