"""One row a (user, item): which of several ratings of one item by one user stays."""

from typing import Literal

import numpy as np
import pandas as pd

from marquee.interactions.matrix import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.raw_schema import LINE

Policy = Literal["last", "mean", "refuse"]


def settle(good: pd.DataFrame, policy: Policy) -> tuple[pd.DataFrame, pd.Series]:
    """One row a (user, item): the rows that stay, and why each of the others (by its index) gave way."""
    pair = good[USER].cat.codes.astype("int64") * len(good[ITEM].cat.categories) + good[ITEM].cat.codes
    again = good[pair.duplicated(keep=False)]
    if again.empty:
        return good, pd.Series(dtype=str)
    group = pd.factorize(pair[again.index])[0]
    times = again[TIMESTAMP].fillna(0).to_numpy()
    by_time = np.lexsort((times, group))  # stable: of equal times, the last in the file is last
    latest = by_time[np.flatnonzero(np.diff(group[by_time], append=-1))]
    stays = latest if policy == "last" else np.unique(group, return_index=True)[1]
    gone = np.setdiff1d(np.arange(len(again)), stays)
    words = {
        "last": "replaced by line",
        "mean": "merged into line",
        "refuse": "the same user and item as line",
    }
    lines = again[LINE].to_numpy()[stays[group[gone]]]
    gave_way = pd.Series([f"{words[policy]} {line}" for line in lines], again.index[gone])
    if policy == "mean":
        sums = np.bincount(group, again[RATING]) / np.bincount(group)
        good = good.copy()
        good.loc[again.index[stays], RATING] = sums
        good.loc[again.index[stays], TIMESTAMP] = again[TIMESTAMP].to_numpy()[latest]
    return good.drop(index=gave_way.index), gave_way
