"""Unknown figures are NaN or infinite, which neither JSON nor MLflow can express."""

import math
from collections.abc import Mapping


def finite_only(figures: Mapping[str, float]) -> dict[str, float]:
    """The figures that are known."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def finite_or_none(figure: float) -> float | None:
    """A figure, or None where it is unknown."""
    return figure if math.isfinite(figure) else None
