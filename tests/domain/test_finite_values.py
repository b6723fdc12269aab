"""Non-finite values: dropped from metrics, null in JSON."""

import json
from math import inf, nan

from marquee.finite_values import drop_non_finite, finite_or_none


def test_non_finite_metrics_are_dropped() -> None:
    assert drop_non_finite({"a": 1.5, "b": nan, "c": inf, "d": -inf, "e": 0.0}) == {"a": 1.5, "e": 0.0}


def test_non_finite_values_become_null() -> None:
    values = [finite_or_none(value) for value in (1.5, nan, inf, -inf, 0.0)]
    assert json.dumps(values, allow_nan=False) == "[1.5, null, null, null, 0.0]"
