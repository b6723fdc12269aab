"""Statistics of the validated interactions, for results/validation.json."""

from typing import Any

import numpy as np
import pandas as pd

from marquee.array_types import Float64Array
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, value_column
from marquee.interactions.validation import ValidationResult

WEIGHT_QUANTILES = {"min": 0.0, "median": 0.5, "p99": 0.99, "max": 1.0}


def summarize_interactions(result: ValidationResult) -> dict[str, Any]:
    """Return the row counts of the validation, and the size, values and time span of the valid rows."""
    table, feedback = result.interactions, result.feedback
    return {
        "rows": result.n_rows,
        "valid_rows": result.n_rows - result.n_invalid,
        "invalid_rows": result.n_invalid,
        "invalid_share": result.n_invalid / result.n_rows,
        "problem_counts": result.problem_counts,
        "left_out_counts": result.left_out_counts,
        "feedback": feedback.feedback,
        "feedback_reason": feedback.reason,
        "scale": None if feedback.scale is None else list(feedback.scale),
        "repeats": feedback.repeats,
        "repeated_rows": result.n_repeats,
        "interactions": len(table),
        **_size(table, result.n_repeats),
        **_values(table),
        **_time_span(table),
    }


def _size(table: pd.DataFrame, n_repeats: int) -> dict[str, Any]:
    """Return the numbers of users and items, and the share of their pairs that have an interaction."""
    n_users, n_items = table[USER].nunique(), table[ITEM].nunique()
    n_cells = n_users * n_items
    density = (len(table) - n_repeats) / n_cells if n_cells else None
    return {"users": n_users, "items": n_items, "density": density}


def _values(table: pd.DataFrame) -> dict[str, Any]:
    """Return mean and histogram of the ratings, or sum and quantiles of the weights."""
    column = value_column(table)
    values = table[column].to_numpy(dtype=np.float64)
    if not len(values):
        return {}
    if column == RATING:
        return {"mean_rating": float(values.mean()), "histogram": _histogram(values)}
    quantiles = np.quantile(values, list(WEIGHT_QUANTILES.values())).tolist()
    return {"weights": {"sum": float(values.sum()), **dict(zip(WEIGHT_QUANTILES, quantiles, strict=True))}}


def _histogram(ratings: Float64Array) -> dict[str, int]:
    """Count the ratings by value, rounded to the nearest half."""
    halves, counts = np.unique((ratings * 2).round(), return_counts=True)
    return {f"{half / 2:g}": int(count) for half, count in zip(halves, counts, strict=True)}


def _time_span(table: pd.DataFrame) -> dict[str, Any]:
    """Return the first and last timestamp in UTC seconds, or null if there are none."""
    if TIMESTAMP not in table or table.empty:
        return {"has_timestamps": False, "first_timestamp": None, "last_timestamp": None}
    first, last = int(table[TIMESTAMP].min()), int(table[TIMESTAMP].max())
    return {"has_timestamps": True, "first_timestamp": first, "last_timestamp": last}
