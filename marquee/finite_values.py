"""Non-finite metrics: JSON and MLflow accept neither NaN nor infinity."""

import math
from collections.abc import Mapping


def drop_non_finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the finite metrics.

    >>> drop_non_finite({"rmse": 0.9, "gini": float("nan")})
    {'rmse': 0.9}
    """
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def finite_or_none(value: float) -> float | None:
    """Return the value, or None if it is NaN or infinite."""
    return value if math.isfinite(value) else None
