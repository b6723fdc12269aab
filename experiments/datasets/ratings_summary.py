"""Statistics of the validated ratings, for results/validation.json."""

from typing import Any

import numpy as np
import pandas as pd

from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.validation import ValidationResult


def summarize_ratings(result: ValidationResult, scale: tuple[float, float]) -> dict[str, Any]:
    """Return row counts of the validation, and size, histogram and time span of the valid ratings."""
    ratings = result.ratings
    n_users, n_items = ratings[USER].nunique(), ratings[ITEM].nunique()
    return {
        "rows": result.n_rows,
        "valid_rows": result.n_rows - result.n_invalid,
        "invalid_rows": result.n_invalid,
        "invalid_share": result.n_invalid / result.n_rows,
        "problem_counts": result.problem_counts,
        "duplicates_resolved": result.n_duplicates,
        "ratings": len(ratings),
        "users": n_users,
        "items": n_items,
        "density": len(ratings) / (n_users * n_items),
        "mean_rating": float(ratings[RATING].astype("float64").mean()),
        "histogram": _histogram(ratings[RATING]),
        "scale": list(scale),
        **_time_span(ratings),
    }


def _histogram(ratings: pd.Series) -> dict[str, int]:
    """Count the ratings by value; means of duplicates are rounded to the nearest half."""
    halves, counts = np.unique((ratings.to_numpy(dtype=np.float64) * 2).round(), return_counts=True)
    return {f"{half / 2:g}": int(count) for half, count in zip(halves, counts, strict=True)}


def _time_span(ratings: pd.DataFrame) -> dict[str, Any]:
    """Return the first and last timestamp in UTC seconds, or null if there are none."""
    if TIMESTAMP not in ratings:
        return {"has_timestamps": False, "first_timestamp": None, "last_timestamp": None}
    first, last = int(ratings[TIMESTAMP].min()), int(ratings[TIMESTAMP].max())
    return {"has_timestamps": True, "first_timestamp": first, "last_timestamp": last}
