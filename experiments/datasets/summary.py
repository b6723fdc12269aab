"""A checked ratings table in figures: what results/validation.json tells."""

from typing import Any

import numpy as np
import pandas as pd

from marquee.interactions.matrix import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.validation import Outcome


def profile(outcome: Outcome, scale: tuple[float, float]) -> dict[str, Any]:
    """Counts of the check, and size, density, histogram and time span of what passed it."""
    ratings = outcome.ratings
    users, items = ratings[USER].nunique(), ratings[ITEM].nunique()
    return {
        "rows_in": outcome.rows_in,
        "rows_good": outcome.rows_in - outcome.rows_bad,
        "rows_bad": outcome.rows_bad,
        "bad_share": outcome.rows_bad / outcome.rows_in,
        "by_reason": outcome.by_reason,
        "duplicates_resolved": outcome.duplicates,
        "ratings": len(ratings),
        "users": users,
        "items": items,
        "density": len(ratings) / (users * items),
        "mean_rating": float(ratings[RATING].astype("float64").mean()),
        "histogram": _histogram(ratings[RATING]),
        "scale": list(scale),
        **_span(ratings),
    }


def _histogram(ratings: pd.Series) -> dict[str, int]:
    """How often each rating was given; means of duplicates fall to the nearest half."""
    halves, counts = np.unique((ratings.to_numpy(dtype=np.float64) * 2).round(), return_counts=True)
    return {f"{half / 2:g}": int(n) for half, n in zip(halves, counts, strict=True)}


def _span(ratings: pd.DataFrame) -> dict[str, Any]:
    """First and last timestamp, UTC seconds."""
    if TIMESTAMP not in ratings:
        return {"has_timestamps": False, "first_timestamp": None, "last_timestamp": None}
    first, last = int(ratings[TIMESTAMP].min()), int(ratings[TIMESTAMP].max())
    return {"has_timestamps": True, "first_timestamp": first, "last_timestamp": last}
