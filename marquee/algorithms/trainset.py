"""Surprise's training and test sets from the ratings table, without its loops over raw ids."""

from collections import defaultdict
from typing import TypeAlias

import numpy as np
import pandas as pd
import surprise

from marquee.arrays import Floats, Integers, Scale
from marquee.ratings import ITEM, RATING, USER, CodedRatings

Trainset: TypeAlias = surprise.Trainset
Testset = list[tuple[str, str, float]]


def trainset_of(coded: CodedRatings, scale: Scale) -> Trainset:
    """The training set that `surprise.Dataset` would build from these rows, in the same order."""
    return Trainset(
        _grouped(coded.users, coded.items, coded.values, len(coded.user_ids)),
        _grouped(coded.items, coded.users, coded.values, len(coded.item_ids)),
        len(coded.user_ids),
        len(coded.item_ids),
        len(coded.values),
        scale,
        {raw: inner for inner, raw in enumerate(coded.user_ids)},
        {raw: inner for inner, raw in enumerate(coded.item_ids)},
    )


def testset_of(ratings: pd.DataFrame) -> Testset:
    """Rows as scikit-surprise tests them: raw user, raw item, true rating."""
    values = ratings[RATING].to_numpy(dtype=np.float64).tolist()
    return list(zip(ratings[USER].tolist(), ratings[ITEM].tolist(), values, strict=True))


def _grouped(
    keys: Integers, others: Integers, values: Floats, n_keys: int
) -> defaultdict[int, list[tuple[int, float]]]:
    """{key: [(other, value), ...]} with keys from 0 and each list in row order."""
    order = np.argsort(keys, kind="stable")
    pairs = list(zip(others[order].tolist(), values[order].tolist(), strict=True))
    ends = np.cumsum(np.bincount(keys, minlength=n_keys)).tolist()
    starts = [0, *ends[:-1]]
    groups: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for key, (start, end) in enumerate(zip(starts, ends, strict=True)):
        groups[key] = pairs[start:end]
    return groups
