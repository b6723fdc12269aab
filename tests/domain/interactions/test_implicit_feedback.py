"""Implicit feedback: weights of rows, events and quantities, and what is left out of the table."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.errors import ConfigError
from marquee.interactions.aggregation import aggregate
from marquee.interactions.feedback import FeedbackSetting, FeedbackSpec, RepeatsSetting, explicit_feedback
from marquee.interactions.raw_table_columns import raw_columns
from marquee.interactions.validation import ValidationResult, ValidationRules, validate_interactions

EVENT_WEIGHTS = {"view": 1.0, "buy": 5.0, "ignore": 0.0, "return": -5.0}


def raw_table(columns: dict[str, list[Any]], **texts: dict[int, str]) -> pd.DataFrame:
    """Return a raw table with the given values; users and items are numbered, rows start at line 2."""
    n_rows = len(next(iter(columns.values())))
    frame = pd.DataFrame(columns).assign(line=range(2, n_rows + 2), timestamp=np.nan)
    for name, letter in (("user", "u"), ("item", "i")):
        if name not in frame:
            frame[name] = [f"{letter}{row}" for row in range(n_rows)]
    for name in {"rating", "weight"} & set(columns):
        frame = frame.astype({name: "float64"})
    names = raw_columns(*(name for name in ("rating", "weight", "event") if name in columns))
    for name in set(names) - set(frame.columns):
        frame[name] = pd.Series([texts.get(name, {}).get(line) for line in frame["line"]], dtype=object)
    return frame[list(names)]


def validate(columns: dict[str, list[Any]], texts: Any = None, **rules: Any) -> ValidationResult:
    settings = {"max_invalid_share": 0.9, "now": 100.0, "event_weights": EVENT_WEIGHTS, **rules}
    return validate_interactions(raw_table(columns, **(texts or {})), ValidationRules((1.0, 5.0), **settings))


def weights(result: ValidationResult) -> list[float]:
    values: list[float] = result.interactions["weight"].tolist()
    return values


def reasons(result: ValidationResult) -> dict[int, str]:
    return dict(zip(result.quarantine["line"], result.quarantine["reasons"], strict=True))


def test_row_without_values_counts_one() -> None:
    result = validate({"user": ["a", "b"]})
    assert list(result.interactions.columns) == ["user", "item", "weight"]
    assert weights(result) == [1, 1]
    assert result.interactions["weight"].dtype == np.float32
    assert result.feedback.reason == "feedback is implicit, as there are no ratings; every row counts 1"


def test_weight_is_that_of_its_column() -> None:
    assert weights(validate({"weight": [0.5, 3, 1e6]})) == [0.5, 3, 1e6]


def test_weight_is_that_of_its_event() -> None:
    assert weights(validate({"event": ["buy", "view", "view"]})) == [5, 1, 1]


def test_weight_of_row_and_event_are_multiplied() -> None:
    result = validate({"event": ["buy", "view", "ignore"], "weight": [2, 3, 9]})
    assert weights(result) == [10, 3]
    assert list(result.quarantine.columns) == [
        "line", "user", "item", "weight", "event", "timestamp", "raw", "reasons",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "texts", "reason"),
    [
        ({"weight": [1, None]}, {}, "weight is missing"),
        ({"weight": [1, None]}, {"weight_text": {3: "many"}}, "weight 'many' is not a number"),
        ({"weight": [1, np.inf]}, {}, "weight is not finite"),
        ({"weight": [1, 1e300]}, {}, "weight 1e+300 is extreme (expected 0, or 1e-12 to 1e+12 in size)"),
        ({"weight": [1, -1e300]}, {}, "weight -1e+300 is extreme (expected 0, or 1e-12 to 1e+12 in size)"),
        ({"weight": [1, 1e-300]}, {}, "weight 1e-300 is extreme (expected 0, or 1e-12 to 1e+12 in size)"),
        ({"event": ["view", "share"]}, {}, "event 'share' has no weight"),
        ({"event": ["view", ""]}, {}, "event is empty"),
        ({"event": ["view", None]}, {}, "event is empty"),
        (
            {"event": ["view", "share"], "weight": [1, None]},
            {},
            "weight is missing; event 'share' has no weight",
        ),
    ],
)
def test_invalid_weight_is_quarantined_with_every_reason(
    columns: dict[str, list[Any]], texts: dict[str, dict[int, str]], reason: str
) -> None:
    result = validate(columns, texts)
    assert reasons(result) == {3: reason}
    assert (result.n_invalid, weights(result)) == (1, [1])


def test_failure_says_how_to_give_an_event_a_weight() -> None:
    failure = validate({"event": ["view", "share"]}, max_invalid_share=0).failure
    assert failure is not None
    assert failure.endswith(
        "event has no weight (1); first: line 3 (event 'share' has no weight); "
        "add the event to data.file.columns.event.weights (0 leaves it out)"
    )


def test_zero_and_negative_weights_are_left_out_counted_and_explained() -> None:
    result = validate({"weight": [2, 0, -1, -3]})
    assert weights(result) == [2]
    assert reasons(result) == {
        3: "weight is 0 (left out)",
        4: "weight is negative (left out)",
        5: "weight is negative (left out)",
    }
    assert (result.n_invalid, result.failure) == (0, None)
    assert result.left_out_counts == {"weight is 0": 1, "weight is negative": 2}
    assert result.warnings == (
        "left out 1 of 4 rows whose weight is 0",
        "left out 2 of 4 rows whose weight is negative; "
        "to subtract them, set interactions.negative_weights to subtract",
    )


def test_reason_for_a_row_left_out_names_its_event() -> None:
    assert reasons(validate({"event": ["view", "ignore", "return"]})) == {
        3: "weight is 0 for event 'ignore' (left out)",
        4: "weight is negative for event 'return' (left out)",
    }


def test_negative_weights_are_subtracted_when_pairs_are_aggregated() -> None:
    columns = {"user": ["a", "a", "b", "b"], "item": ["x"] * 4, "event": ["buy", "return", "buy", "view"]}
    result = validate(columns, negative_weights="subtract")
    assert weights(result) == [5, -5, 5, 1]
    assert result.warnings == (
        "1 rows with a negative weight are subtracted, which leaves nothing of 1 of 2 pairs of user and item",
    )
    left = {"user": ["b"], "item": ["x"], "weight": [6.0]}
    assert aggregate(result.interactions, result.feedback.repeats).to_dict("list") == left
    assert result.remaining.to_dict("list") == left


def test_everything_remains_if_nothing_is_subtracted() -> None:
    result = validate({"user": ["a", "a"], "item": ["x", "x"], "weight": [1, 2]}, negative_weights="subtract")
    assert result.remaining is result.interactions


@pytest.mark.parametrize("repeats", ["max", "last", "refuse"])
def test_weights_are_subtracted_only_from_sums(repeats: RepeatsSetting) -> None:
    message = rf"subtract requires interactions\.repeats: auto, sum or count \(got {repeats}\)"
    with pytest.raises(ConfigError, match=message):
        validate({"weight": [1, -1]}, repeats=repeats, negative_weights="subtract")


@pytest.mark.parametrize("repeats", ["mean", "last", "refuse"])
def test_ratings_are_not_subtracted_whatever_the_policy(repeats: RepeatsSetting) -> None:
    result = validate({"rating": [1, 5]}, repeats=repeats, negative_weights="subtract")
    assert result.feedback.repeats == repeats


def test_negative_weight_of_a_negative_event_is_pointed_out() -> None:
    result = validate({"event": ["return", "return", "buy"], "weight": [-2, 2, 2]})
    assert weights(result) == [10, 10]
    assert result.warnings[-1] == (
        "1 of 3 rows have a negative weight and an event with a negative weight, so they count as positive "
        "(for returns, give the event a positive weight)"
    )


def test_invalid_rows_are_explained_also_where_they_are_tolerated() -> None:
    result = validate({"event": ["view"] * 9 + ["share"]}, max_invalid_share=0.1)
    assert result.failure is None
    assert result.warnings == (
        "1 of 10 rows are invalid and left out: event has no weight (1); first: line 11 (event 'share' "
        "has no weight); add the event to data.file.columns.event.weights (0 leaves it out)",
    )


def test_table_without_positive_weights_is_empty_and_nothing_is_lost() -> None:
    result = validate({"weight": [0, -1]})
    assert result.interactions.empty
    assert len(result.quarantine) == 2


def test_ratings_that_differ_are_explicit_feedback() -> None:
    result = validate({"rating": [5, 4, 5]})
    assert list(result.interactions.columns) == ["user", "item", "rating"]
    assert result.feedback == FeedbackSpec(
        "explicit", "feedback is explicit, as there are ratings", (1.0, 5.0), 4.0, "last"
    )
    assert result.warnings == ()


def test_constant_ratings_become_implicit_feedback_with_a_warning() -> None:
    result = validate({"rating": [5, 5, None]})
    assert weights(result) == [1, 1]
    assert result.feedback == FeedbackSpec(
        "implicit", "feedback is implicit, as all 2 ratings are 5; every row counts 1", None, 0.0, "sum"
    )
    assert result.warnings == (
        "1 of 3 rows are invalid and left out: rating is missing (1); first: line 4 (rating is missing)",
        "all 2 ratings are 5, which says nothing about taste: they are used as implicit feedback "
        "(to refuse them, set interactions.feedback to explicit)",
    )
    assert reasons(result) == {4: "rating is missing"}


def test_constant_ratings_stay_ratings_if_feedback_is_set() -> None:
    result = validate({"rating": [5, 5]}, feedback="explicit")
    assert result.interactions["rating"].tolist() == [5, 5]
    assert result.feedback.reason == "feedback is explicit, as interactions.feedback says"


@pytest.mark.parametrize(
    ("columns", "repeats", "message"),
    [
        ({"rating": [4, 5]}, "sum", "must be auto, last, mean or refuse, because feedback is explicit"),
        (
            {"weight": [4, 5]},
            "mean",
            "must be auto, sum, count, max, last or refuse, because feedback is implicit",
        ),
    ],
)
def test_policy_for_repeats_must_fit_the_feedback(
    columns: dict[str, list[Any]], repeats: RepeatsSetting, message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"interactions\.repeats {message} \(got {repeats}\)"):
        validate(columns, repeats=repeats)


@pytest.mark.parametrize(("scale", "threshold"), [((1.0, 5.0), 4.0), ((0.0, 10.0), 7.5)])
def test_ratings_are_positive_from_three_quarters_of_the_scale(
    scale: tuple[float, float], threshold: float
) -> None:
    assert explicit_feedback("", scale, None, "auto").positive_from == threshold


def test_threshold_of_positive_ratings_can_be_set() -> None:
    assert validate({"rating": [4, 5]}, positive_from=4.5).feedback.positive_from == 4.5


def test_threshold_above_the_scale_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"measure\.relevance_threshold must be at most 5, .* \(got 5\.5\)"):
        validate({"rating": [4, 5]}, positive_from=5.5)


def test_feedback_is_restored_from_its_record() -> None:
    settings: tuple[FeedbackSetting, ...] = ("explicit", "auto")
    for setting in settings:
        feedback = validate({"rating": [5, 5]}, feedback=setting).feedback
        assert FeedbackSpec.from_record(feedback.to_record()) == feedback


VALUES = st.sampled_from([0.0, 1.0, -2.0, 1e300, float("nan"), float("inf")])
EVENTS = st.sampled_from(["view", "buy", "ignore", "return", "unknown", ""])


@given(st.lists(st.tuples(VALUES, EVENTS), min_size=1, max_size=12), st.sampled_from(["drop", "subtract"]))
@settings(max_examples=25)
def test_every_row_is_in_the_table_or_in_the_quarantine(rows: list[tuple[float, str]], policy: str) -> None:
    columns: dict[str, list[Any]] = {"weight": [row[0] for row in rows], "event": [row[1] for row in rows]}
    result = validate(columns, negative_weights=policy)
    assert len(result.interactions) + len(result.quarantine) == len(rows)
    assert result.n_invalid + sum(result.left_out_counts.values()) == len(result.quarantine)
    values = result.interactions["weight"]
    assert ((values > 0) if policy == "drop" else (values != 0)).all()
    assert np.isfinite(values).all()
    assert (result.quarantine["reasons"] != "").all()
