"""Weights of a user's interactions in the item-item models and confidence models that are served."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np

from marquee.array_types import Float64Array
from marquee.logarithms import log
from marquee.model.json_checks import is_number

WeightingName: TypeAlias = Literal["binary", "linear", "log"]
WEIGHTINGS: tuple[WeightingName, ...] = ("binary", "linear", "log")
WEIGHT_WITHOUT_VALUE = 1.0  # of an interaction without a rating or weight, such as a click


@dataclass(frozen=True)
class HistoryWeighting:
    """Function from ratings, or implicit weights, to the weights that a ranking model was trained on.

        binary    1 if the value is at least `bound`, or above 0 without a bound, else 0
        linear    (value - bound) / unit, at least `floor`
        log       ln(1 + value)

    >>> HistoryWeighting("binary", bound=4.0).weigh(np.array([3.0, 5.0])).tolist()
    [0.0, 1.0]
    >>> HistoryWeighting("linear", bound=2.0, unit=2.0, floor=-0.5).weigh(np.array([1.0, 2.0, 5.0])).tolist()
    [-0.5, 0.0, 1.5]
    """

    name: WeightingName = "binary"
    bound: float | None = None  # None: every value above 0 counts (binary), or no value is shifted (linear)
    unit: float = 1.0
    floor: float = 0.0

    def weigh(self, values: Float64Array) -> Float64Array:
        """Return the weight of each value, shape (n,); 0: it does not count."""
        if self.name == "log":
            return log(1 + np.maximum(values, 0.0))
        if self.name == "linear":
            return np.maximum((values - (self.bound or 0.0)) / self.unit, self.floor)
        is_counted = values > 0 if self.bound is None else values >= self.bound
        return is_counted.astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as a JSON object."""
        return asdict(self)


def is_weighting(value: object) -> bool:
    """Return True if a parsed JSON value is a weighting, as `HistoryWeighting.to_json` returns it."""
    return (
        isinstance(value, dict)
        and set(value) == {field.name for field in fields(HistoryWeighting)}
        and value["name"] in WEIGHTINGS
        and (value["bound"] is None or is_number(value["bound"]))
        and is_number(value["unit"])
        and is_number(value["floor"])
    )
