"""Arrays of small models written by hand, so that tests can state expected results literally."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from marquee.array_types import Int32Array
from marquee.model.genre_affinity import GenreAffinity
from marquee.model.model_arrays import ModelArrays
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING

Users = Mapping[str, tuple[Sequence[int], Sequence[int]]]  # id: (items rated in training, stored list)
SCORES = (4.75, 4.25, 4.0, 3.5, 3.0)  # of the first, second, ... item of every stored list
SIMILARITIES = (0.5, 0.25)
RATING = 5.0  # of every training interaction


def build_small_model_arrays(
    users: Users,
    items: Sequence[str],
    *,
    titles: Sequence[str] | None = None,
    genres: Sequence[str] | None = None,
    similar: Mapping[int, Sequence[int]] | None = None,
    width: int = 2,
    **scorers: Any,
) -> ModelArrays:
    """Return the arrays of a model; popular items and group items are derived from the ratings.

    Args:
        users: items rated in training and stored list of each user, by user id.
        items: item ids.
        titles: titles of the items; by default their ids.
        genres: genres of each item, separated by "|"; none by default.
        similar: up to two similar items, by item.
        width: length to which the stored lists are padded or cut, at most 5.
        **scorers: `recommender` and `predictor` of `ModelArrays`; none by default.
    """
    histories = [rated for rated, _ in users.values()]
    seen_indptr = np.cumsum([0, *map(len, histories)], dtype=np.int64)
    seen_items = np.array([item for history in histories for item in history], dtype=np.int32)
    counts = np.bincount(seen_items, minlength=len(items)).astype(np.int64)
    popular_items = np.argsort(-counts, kind="stable").astype(np.int32)
    genre_table = StringTable.from_strings(genres or [""] * len(items))
    affinity = GenreAffinity.from_item_genres(genre_table, counts)
    top_items = _pad([stored_list for _, stored_list in users.values()], width)
    similar_items = _pad([(similar or {}).get(item, ()) for item in range(len(items))], len(SIMILARITIES))
    return ModelArrays(
        users=StringTable.from_strings(list(users)),
        items=StringTable.from_strings(items),
        titles=StringTable.from_strings(titles or items),
        genres=genre_table,
        top_items=top_items,
        top_scores=np.where(top_items == PADDING, np.nan, SCORES[:width]).astype(np.float32),
        popular_items=popular_items,
        popular_counts=counts[popular_items],
        seen_indptr=seen_indptr,
        seen_items=seen_items,
        seen_values=np.full(len(seen_items), RATING, dtype=np.float32),
        similar_items=similar_items,
        similarities=np.where(similar_items == PADDING, np.nan, SIMILARITIES).astype(np.float32),
        group_items=affinity.popular_items_by_favorite_genre(seen_indptr, seen_items, len(items)),
        **scorers,
    )


def _pad(lists: Sequence[Sequence[int]], width: int) -> Int32Array:
    rows = [(list(items) + [PADDING] * width)[:width] for items in lists]
    return np.array(rows, dtype=np.int32).reshape(len(lists), width)
