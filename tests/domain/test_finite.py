"""Figures that are unknown."""

import json
from math import inf, nan

from marquee.finite import finite_only, finite_or_none


def test_unknown_figures_are_left_out() -> None:
    assert finite_only({"a": 1.5, "b": nan, "c": inf, "d": -inf, "e": 0.0}) == {"a": 1.5, "e": 0.0}


def test_unknown_figures_are_null() -> None:
    figures = [finite_or_none(figure) for figure in (1.5, nan, inf, -inf, 0.0)]
    assert json.dumps(figures, allow_nan=False) == "[1.5, null, null, null, 0.0]"
