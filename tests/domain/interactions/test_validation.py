"""The rules of the ratings table: a row is good, or in the quarantine with every reason."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.interactions.raw_schema import INGESTED_COLUMNS, is_good_id
from marquee.interactions.validation import QUARANTINE_COLUMNS, Outcome, Rules, check_ratings

NOW = 1_700_000_000
ONE_BAD = 0.5


def table(*rows: tuple[Any, ...], **extra: dict[int, str]) -> pd.DataFrame:
    """Rows of (user, item, rating[, timestamp]) from line 2 on; `extra` gives a text column by line."""
    columns = [list(column) for column in zip(*(((*row, None)[:4]) for row in rows), strict=True)]
    frame = pd.DataFrame(dict(zip(("user", "item", "rating", "timestamp"), columns, strict=True)))
    frame = frame.astype({"rating": "float64", "timestamp": "float64"})
    frame["line"] = range(2, len(frame) + 2)
    for name in ("raw", "fault", "rating_text", "timestamp_text"):
        frame[name] = pd.Series([extra.get(name, {}).get(line) for line in frame["line"]], dtype=object)
    return frame[list(INGESTED_COLUMNS)]


def check(
    rows: pd.DataFrame, duplicates: Any = "last", most: float = ONE_BAD, scale: Any = (1.0, 5.0)
) -> Outcome:
    return check_ratings(rows, Rules(scale, duplicates, most, NOW))


def quarantined(outcome: Outcome) -> dict[int, str]:
    return dict(zip(outcome.quarantine["line"], outcome.quarantine["reasons"], strict=True))


def kept(outcome: Outcome) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in outcome.ratings.itertuples(index=False)]


def test_a_good_table_passes_in_its_order_and_types():
    outcome = check(table(("b", "x", 5, 20), ("a", "x", 1, 10.7)))
    assert kept(outcome) == [("b", "x", 5.0, 20), ("a", "x", 1.0, 10)]
    assert [str(kind) for kind in outcome.ratings.dtypes[2:]] == ["float32", "int64"]
    assert (outcome.rows_in, outcome.rows_bad, outcome.by_reason, outcome.failure) == (2, 0, {}, None)
    assert list(outcome.quarantine.columns) == list(QUARANTINE_COLUMNS)
    assert outcome.quarantine.empty


def test_a_table_without_timestamps_has_no_such_column():
    assert list(check(table(("a", "x", 3))).ratings.columns) == ["user", "item", "rating"]


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
        (("a", "y", 3, 1_600_000_000_000), "timestamp 1600000000000 is in the future (milliseconds?)"),
        (("a", "y", 3, None), "timestamp is missing while other rows have one"),
        (
            ("", "", 9, -5),
            "user is empty; item is empty; rating 9 is outside 1 to 5; timestamp -5 is before 1970",
        ),
    ],
)
def test_each_broken_rule_is_named_with_its_line(row, reason):
    outcome = check(table(("a", "x", 3, 10), row))
    assert quarantined(outcome) == {3: reason}
    assert kept(outcome) == [("a", "x", 3.0, 10)]
    assert outcome.rows_bad == 1
    assert sum(outcome.by_reason.values()) == reason.count(";") + 1


def test_text_where_a_number_should_be_is_quoted():
    texts = {"rating_text": {3: "abc"}, "timestamp_text": {3: "soon"}, "raw": {3: "a,y,abc,soon"}}
    rows = table(("a", "x", 3, 10), ("a", "y", None, None), **texts)
    outcome = check(rows)
    assert quarantined(outcome) == {3: "rating 'abc' is not a number; timestamp 'soon' is not a number"}
    assert outcome.quarantine.iloc[0].to_list()[1:6] == ["a", "y", "abc", "soon", "a,y,abc,soon"]
    assert outcome.by_reason == {"rating is not a number": 1, "timestamp is not a number": 1}


def test_a_line_that_is_no_row_has_that_one_reason():
    rows = table(
        ("a", "x", 3, 10), (None, None, None, None), fault={3: "2 fields instead of 4"}, raw={3: "a,x"}
    )
    outcome = check(rows)
    assert quarantined(outcome) == {3: "2 fields instead of 4"}
    assert outcome.by_reason == {"row cannot be read": 1}


def test_the_edges_of_the_scale_and_of_time_are_good():
    assert check(table(("a", "x", 0.5, 0), ("a", "y", 5, NOW)), scale=(0.5, 5.0)).rows_bad == 0


def test_the_allowed_share_may_be_reached_and_not_passed():
    rows = table(("a", "x", 3), ("a", "y", 9), ("a", "z", 3), ("a", "w", 3))
    assert check(rows, most=0.25).failure is None
    failure = check(rows, most=0.24).failure
    assert failure == (
        "1 of 4 rows are bad (25.0000%, at most 24.0000% may be): 1 rating is outside the scale; "
        "first: line 3 (rating 9 is outside 1 to 5)"
    )


def test_a_failure_counts_by_reason_and_shows_three():
    rows = table(*[("", f"i{n}", 9) for n in range(4)], ("a", "x", 8))
    failure = check(rows).failure or ""
    assert "5 rating is outside the scale, 4 user is empty; first: line 2 (user is empty; rating 9" in failure
    assert failure.count("line ") == 3
    assert "\n" not in failure


def test_no_good_row_is_a_failure():
    assert "1 of 1 rows are bad" in (check(table(("a", "x", 9)), most=0.99).failure or "")


def test_a_table_of_nothing_but_unreadable_lines_fails():
    outcome = check(table((None, None, None, None), fault={2: "1 fields instead of 3"}, raw={2: "x"}))
    assert (outcome.failure or "").endswith("first: line 2 (1 fields instead of 3)")
    assert outcome.ratings.empty


TWICE = (("a", "x", 1, 30), ("b", "x", 2, 5), ("a", "x", 4, 10), ("a", "x", 3, 20))


def test_last_keeps_the_latest_in_its_own_place():
    outcome = check(table(*TWICE, ("b", "x", 5, 5)))
    assert kept(outcome) == [("a", "x", 1.0, 30), ("b", "x", 5.0, 5)]
    assert quarantined(outcome) == {4: "replaced by line 2", 5: "replaced by line 2", 3: "replaced by line 6"}
    assert (outcome.rows_bad, outcome.duplicates) == (0, 3)
    assert list(outcome.quarantine["line"]) == [3, 4, 5]


def test_last_without_timestamps_is_the_last_in_the_file():
    outcome = check(table(*(row[:3] for row in TWICE)))
    assert kept(outcome) == [("b", "x", 2.0), ("a", "x", 3.0)]


def test_mean_keeps_the_first_place_and_the_latest_time():
    outcome = check(table(*TWICE), "mean")
    assert kept(outcome) == [("a", "x", pytest.approx(8 / 3), 30), ("b", "x", 2.0, 5)]
    assert quarantined(outcome) == {4: "merged into line 2", 5: "merged into line 2"}


def test_refuse_fails_with_the_first_offenders():
    outcome = check(table(*TWICE), "refuse")
    assert (outcome.failure or "").startswith("2 rows rate an item again")
    assert "line 4 (the same user and item as line 2)" in (outcome.failure or "")
    assert check(table(*TWICE[:2]), "refuse").failure is None


def test_a_bad_row_is_no_duplicate():
    outcome = check(table(("a", "x", 3, 10), ("a", "x", 9, 20)))
    assert kept(outcome) == [("a", "x", 3.0, 10)]


def test_a_table_of_other_types_is_refused():
    with pytest.raises(DataError, match="not as it should be"):
        check(table(("a", "x", 3)).astype({"rating": "int64"}))


def test_ids_are_judged_alike_everywhere():
    assert list(is_good_id(pd.Series(["a", "", None, "b\n", "c d"]))) == [True, False, False, False, True]


ids = st.sampled_from(["a", "b", "", "c\x01"])
stars = st.sampled_from([1.0, 3.0, 5.0, 6.0, float("nan")])
times = st.one_of(st.none(), st.sampled_from([0.0, 5.0, NOW + 9.0]))


@given(
    st.lists(st.tuples(ids, ids, stars, times), min_size=1, max_size=12), st.sampled_from(["last", "mean"])
)
@settings(max_examples=25, deadline=None)
def test_no_row_is_lost_and_no_pair_is_left_twice(rows, policy):
    outcome = check(table(*rows), policy, most=0.99)
    assert len(outcome.ratings) + len(outcome.quarantine) == len(rows)
    assert outcome.rows_bad + outcome.duplicates == len(outcome.quarantine)
    assert not outcome.ratings.duplicated(["user", "item"]).any()
    assert outcome.ratings["rating"].between(1, 5).all()
    assert (outcome.quarantine["reasons"] != "").all()
