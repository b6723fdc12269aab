"""Validation of raw rows: a row is valid, or quarantined with every reason."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.interactions.feedback import RepeatsSetting
from marquee.interactions.raw_table_columns import raw_columns, valid_id_mask
from marquee.interactions.validation import (
    ValidationResult,
    ValidationRules,
    quarantine_columns,
    validate_interactions,
)

NOW = 1_700_000_000
Row = tuple[Any, ...]  # (user, item, rating[, timestamp])


def raw_table(*rows: Row, **texts: dict[int, str]) -> pd.DataFrame:
    """Return a raw table whose rows start at line 2; `texts` contains values of text columns, by line."""
    cells = [(*row, None)[:4] for row in rows]  # without a timestamp, it is None
    frame = pd.DataFrame(cells, columns=["user", "item", "rating", "timestamp"])
    frame = frame.astype({"rating": "float64", "timestamp": "float64"})
    frame["line"] = range(2, len(frame) + 2)
    for name in ("raw", "parse_error", "rating_text", "timestamp_text"):
        frame[name] = pd.Series([texts.get(name, {}).get(line) for line in frame["line"]], dtype=object)
    return frame[list(raw_columns("rating"))]


def validate(
    rows: pd.DataFrame,
    repeats: RepeatsSetting = "last",
    max_invalid_share: float = 0.5,
    scale: tuple[float, float] = (1.0, 5.0),
) -> ValidationResult:
    """Validate a table whose ratings are used even if they are all equal."""
    rules = ValidationRules(scale, max_invalid_share, NOW, feedback="explicit", repeats=repeats)
    return validate_interactions(rows, rules)


def validation_failure(
    rows: pd.DataFrame, repeats: RepeatsSetting = "last", max_invalid_share: float = 0.5
) -> str:
    failure = validate(rows, repeats, max_invalid_share).failure
    assert failure is not None
    return failure


def reasons_by_line(result: ValidationResult) -> dict[int, str]:
    return dict(zip(result.quarantine["line"], result.quarantine["reasons"], strict=True))


def valid_rows(result: ValidationResult) -> list[Row]:
    return [tuple(row) for row in result.interactions.itertuples(index=False)]


def test_valid_table_keeps_its_order_and_gets_final_types() -> None:
    result = validate(raw_table(("b", "x", 5, 20), ("a", "x", 1, 10.7)))
    assert valid_rows(result) == [("b", "x", 5.0, 20), ("a", "x", 1.0, 10)]
    assert [str(dtype) for dtype in result.interactions.dtypes[2:]] == ["float32", "int64"]
    assert (result.n_rows, result.n_invalid, result.problem_counts, result.failure) == (2, 0, {}, None)
    assert list(result.quarantine.columns) == list(quarantine_columns("rating"))
    assert result.quarantine.empty


def test_table_without_timestamps_has_no_timestamp_column() -> None:
    assert list(validate(raw_table(("a", "x", 3))).interactions.columns) == ["user", "item", "rating"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("a", "y", 7, 10), "rating 7 is outside 1 to 5"),
        (("a", "y", 0.5, 10), "rating 0.5 is outside 1 to 5"),
        (("a", "y", np.inf, 10), "rating is not finite"),
        (("a", "y", None, 10), "rating is missing"),
        (("", "y", 3, 10), "user is empty"),
        (("a", "", 3, 10), "item is empty"),
        ((None, "y", 3, 10), "user is empty"),
        (("a\tb", "y", 3, 10), r"user 'a\tb' has a control character"),
        (("a", "y\x00", 3, 10), r"item 'y\x00' has a control character"),
        (("a", "y", 3, -1), "timestamp -1 is before 1970"),
        (("a", "y", 3, NOW + 1), "timestamp 1700000001 is in the future"),
        (
            ("a", "y", 3, 1_600_000_000_000),
            "timestamp 1600000000000 is in the future (milliseconds?)",
        ),
        (("a", "y", 3, None), "timestamp is missing while other rows have one"),
        (
            ("", "", 9, -5),
            "user is empty; item is empty; rating 9 is outside 1 to 5; timestamp -5 is before 1970",
        ),
    ],
)
def test_invalid_row_is_quarantined_with_every_reason(row: Row, reason: str) -> None:
    result = validate(raw_table(("a", "x", 3, 10), row))
    assert reasons_by_line(result) == {3: reason}
    assert valid_rows(result) == [("a", "x", 3.0, 10)]
    assert result.n_invalid == 1
    assert sum(result.problem_counts.values()) == reason.count(";") + 1


def test_text_in_place_of_a_number_is_quoted_in_the_reason() -> None:
    texts = {"rating_text": {3: "abc"}, "timestamp_text": {3: "soon"}, "raw": {3: "a,y,abc,soon"}}
    result = validate(raw_table(("a", "x", 3, 10), ("a", "y", None, None), **texts))
    assert reasons_by_line(result) == {3: "rating 'abc' is not a number; timestamp 'soon' is not a number"}
    assert result.quarantine.iloc[0].to_list()[1:6] == ["a", "y", "abc", "soon", "a,y,abc,soon"]
    assert result.problem_counts == {"rating is not a number": 1, "timestamp is not a number": 1}


def test_row_that_cannot_be_parsed_has_no_other_reason() -> None:
    unreadable = {"parse_error": {3: "expected 4 fields, got 2"}, "raw": {3: "a,x"}}
    result = validate(raw_table(("a", "x", 3, 10), (None, None, None, None), **unreadable))
    assert reasons_by_line(result) == {3: "expected 4 fields, got 2"}
    assert result.problem_counts == {"row cannot be read": 1}


def test_bounds_of_rating_scale_and_time_are_valid() -> None:
    rows = raw_table(("a", "x", 0.5, 0), ("a", "y", 5, NOW))
    assert validate(rows, scale=(0.5, 5.0)).n_invalid == 0


def test_table_fails_only_above_max_invalid_share() -> None:
    rows = raw_table(("a", "x", 3), ("a", "y", 9), ("a", "z", 3), ("a", "w", 3))
    assert validate(rows, max_invalid_share=0.25).failure is None
    assert validation_failure(rows, max_invalid_share=0.24) == (
        "1 of 4 rows are invalid (25.0000%, allowed: 24.0000%): rating is outside the scale (1); "
        "first: line 3 (rating 9 is outside 1 to 5)"
    )


def test_failure_counts_problems_and_quotes_three_rows() -> None:
    failure = validation_failure(raw_table(*[("", f"i{number}", 9) for number in range(4)], ("a", "x", 8)))
    assert (
        "rating is outside the scale (5), user is empty (4); first: line 2 (user is empty; rating 9"
        in failure
    )
    assert failure.count("line ") == 3
    assert "\n" not in failure


def test_table_without_valid_row_fails() -> None:
    assert "1 of 1 rows are invalid" in validation_failure(raw_table(("a", "x", 9)), max_invalid_share=0.99)


def test_table_of_unreadable_rows_fails() -> None:
    unreadable = {"parse_error": {2: "expected 3 fields, got 1"}, "raw": {2: "x"}}
    result = validate(raw_table((None, None, None, None), **unreadable))
    assert (result.failure or "").endswith("first: line 2 (expected 3 fields, got 1)")
    assert result.interactions.empty


REPEATS = (("a", "x", 1, 30), ("b", "x", 2, 5), ("a", "x", 4, 10), ("a", "x", 3, 20))


@pytest.mark.parametrize("repeats", ["auto", "last", "mean"])
def test_repeats_stay_in_the_table_until_it_is_split(repeats: RepeatsSetting) -> None:
    result = validate(raw_table(*REPEATS), repeats)
    assert valid_rows(result) == [("a", "x", 1, 30), ("b", "x", 2, 5), ("a", "x", 4, 10), ("a", "x", 3, 20)]
    assert (result.n_invalid, result.n_repeats, result.failure) == (0, 2, None)
    assert result.quarantine.empty


def test_policy_refuse_fails_and_quotes_first_repeats() -> None:
    result = validate(raw_table(*REPEATS), "refuse")
    assert (result.failure or "").startswith("2 rows repeat a user and item")
    assert "line 4 (same user and item as line 2)" in (result.failure or "")
    assert reasons_by_line(result) == dict.fromkeys((4, 5), "same user and item as line 2")
    assert validate(raw_table(*REPEATS[:2]), "refuse").failure is None


def test_invalid_row_does_not_count_as_repeat() -> None:
    result = validate(raw_table(("a", "x", 3, 10), ("a", "x", 9, 20)))
    assert valid_rows(result) == [("a", "x", 3.0, 10)]
    assert result.n_repeats == 0


def test_column_of_wrong_type_is_rejected() -> None:
    with pytest.raises(DataError, match="invalid schema"):
        validate(raw_table(("a", "x", 3)).astype({"rating": "int64"}))


def test_valid_ids_are_neither_empty_nor_have_control_characters() -> None:
    ids = pd.Series(["a", "", None, "b\n", "c d"])
    assert list(valid_id_mask(ids)) == [True, False, False, False, True]


IDS = st.sampled_from(["a", "b", "", "c\x01"])
RATINGS = st.sampled_from([1.0, 3.0, 5.0, 6.0, float("nan")])
TIMES = st.one_of(st.none(), st.sampled_from([0.0, 5.0, NOW + 9.0]))
ROWS = st.lists(st.tuples(IDS, IDS, RATINGS, TIMES), min_size=1, max_size=12)
POLICIES: st.SearchStrategy[RepeatsSetting] = st.sampled_from(("last", "mean", "refuse"))


@given(ROWS, POLICIES)
@settings(max_examples=25, deadline=None)
def test_no_row_is_lost_and_repeats_are_counted(rows: list[Row], policy: RepeatsSetting) -> None:
    result = validate(raw_table(*rows), policy, max_invalid_share=0.99)
    assert len(result.interactions) + len(result.quarantine) == len(rows)
    n_refused = result.n_repeats if policy == "refuse" else 0
    assert result.n_invalid + n_refused == len(result.quarantine)
    assert result.interactions.duplicated(["user", "item"]).sum() == result.n_repeats - n_refused
    assert result.interactions["rating"].between(1, 5).all()
    assert (result.quarantine["reasons"] != "").all()
