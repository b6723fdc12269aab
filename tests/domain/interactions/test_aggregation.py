"""Aggregation: one interaction for each pair of user and item."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.interactions.aggregation import RepeatsPolicy, aggregate
from marquee.interactions.columns import value_column

Row = tuple[str, str, float, int]
ROWS: list[Row] = [  # user, item, value, timestamp
    ("ann", "x", 2.0, 30),
    ("bob", "x", 5.0, 10),
    ("ann", "x", 4.0, 20),
    ("ann", "y", 1.0, 40),
    ("bob", "x", 3.0, 10),
]


def table(rows: list[Row], column: str = "rating", *, with_times: bool = True) -> pd.DataFrame:
    """Return an interactions table with the values as ratings or as weights."""
    frame = pd.DataFrame(rows, columns=["user", "item", column, "timestamp"])
    frame = frame.astype({"user": str, "item": str, column: "float32", "timestamp": "int64"})
    return frame if with_times else frame.drop(columns="timestamp")


def values(rows: list[Row], column: str, repeats: RepeatsPolicy) -> list[tuple[str, str, float]]:
    """Return user, item and value of each aggregated row."""
    result = aggregate(table(rows, column), repeats)
    return list(result[["user", "item", column]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("column", "repeats", "expected"),
    [
        ("rating", "last", [2, 3, 1]),
        ("rating", "mean", [3, 4, 1]),
        ("weight", "last", [2, 3, 1]),
        ("weight", "sum", [6, 8, 1]),
        ("weight", "count", [2, 2, 1]),
        ("weight", "max", [4, 5, 1]),
    ],
)
def test_policy_decides_value_of_repeated_pair(
    column: str, repeats: RepeatsPolicy, expected: list[float]
) -> None:
    pairs = [("ann", "x"), ("bob", "x"), ("ann", "y")]
    assert values(ROWS, column, repeats) == [
        (*pair, value) for pair, value in zip(pairs, expected, strict=True)
    ]


@pytest.mark.parametrize("repeats", ["last", "sum", "count", "max"])
def test_timestamp_of_pair_is_its_latest(repeats: RepeatsPolicy) -> None:
    assert aggregate(table(ROWS, "weight"), repeats)["timestamp"].tolist() == [30, 10, 40]


def test_without_timestamps_last_row_in_table_counts() -> None:
    assert aggregate(table(ROWS, with_times=False), "last")["rating"].tolist() == [4, 3, 1]


def test_returns_subtract_and_returned_pairs_are_dropped() -> None:
    rows = [("ann", "x", 3.0, 1), ("ann", "x", -1.0, 2), ("bob", "x", 1.0, 1), ("bob", "x", -1.0, 2)]
    assert values(rows, "weight", "sum") == [("ann", "x", 2)]
    assert values([*rows, ("ann", "x", 4.0, 3)], "weight", "count") == [("ann", "x", 1)]
    assert values(rows, "weight", "last") == []


@pytest.mark.parametrize("weights", [(0.1, 0.2, -0.3), (0.1, 0.7, -0.8), (1e12, 0.1, -1e12)])
def test_returned_quantities_leave_no_rounding_error(weights: tuple[float, ...]) -> None:
    rows = [("ann", "x", weight, time) for time, weight in enumerate(weights)]
    assert values(rows, "weight", "sum") == []


def test_small_weights_are_summed() -> None:
    assert values([("ann", "x", 1e-12, 0), ("ann", "x", 1e-12, 1)], "weight", "sum")[0][2] == pytest.approx(
        2e-12
    )


def test_negative_ratings_are_kept() -> None:
    assert values([("ann", "x", -10.0, 1), ("bob", "x", 0.0, 1)], "rating", "last") == [
        ("ann", "x", -10),
        ("bob", "x", 0),
    ]


def test_refuse_names_first_repeated_pair() -> None:
    with pytest.raises(DataError, match=r"2 rows repeat a pair .* user 'ann', item 'x'"):
        aggregate(table(ROWS), "refuse")
    assert len(aggregate(table(ROWS[:2]), "refuse")) == 2


@pytest.mark.parametrize(("column", "repeats"), [("rating", "sum"), ("weight", "mean")])
def test_policy_must_fit_kind_of_feedback(column: str, repeats: RepeatsPolicy) -> None:
    with pytest.raises(DataError, match=rf"for a table of {column}s \(got {repeats}\)"):
        aggregate(table(ROWS, column), repeats)


@pytest.mark.parametrize("columns", [["user", "item"], ["user", "item", "rating", "weight"]])
def test_table_has_either_ratings_or_weights(columns: list[str]) -> None:
    with pytest.raises(DataError, match="must have a rating or a weight column"):
        value_column(pd.DataFrame(columns=columns))


def test_empty_table_stays_empty() -> None:
    assert aggregate(table([], "weight"), "sum").empty


NAMES = st.sampled_from(["a", "b", "c"])
TABLES = st.lists(st.tuples(NAMES, NAMES, st.floats(-3, 9, width=32), st.integers(0, 4)), max_size=20)


@given(TABLES, st.sampled_from(["last", "sum", "count", "max"]))
def test_aggregation_has_each_pair_once_and_aggregating_again_changes_nothing(
    rows: list[Row], repeats: RepeatsPolicy
) -> None:
    once = aggregate(table(rows, "weight"), repeats)
    assert not once.duplicated(["user", "item"]).any()
    assert (once["weight"] > 0).all()
    pd.testing.assert_frame_equal(aggregate(once, "last"), once)


@given(TABLES)
def test_sum_agrees_with_group_by(rows: list[Row]) -> None:
    frame = table(rows, "weight")
    result = aggregate(frame, "sum").set_index(["user", "item"])["weight"]
    sums = frame.astype({"weight": "float64"}).groupby(["user", "item"], sort=False)["weight"].sum()
    sizes = frame.assign(weight=frame["weight"].abs().astype("float64"))
    rounding = 2.0**-23 * sizes.groupby(["user", "item"], sort=False)["weight"].sum()
    sums = sums[(sums > rounding) & (sums.astype("float32") > 0)]
    assert result.index.tolist() == sums.index.tolist()
    np.testing.assert_allclose(result, sums, rtol=1e-6)
