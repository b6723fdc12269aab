"""Row-level validation: the pandera schema of raw rows, and a message for each failed check."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from marquee.array_types import Int64Array, RatingScale
from marquee.errors import DataError
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, WEIGHT
from marquee.interactions.raw_table_columns import (
    CONTROL_CHARACTERS,
    EVENT,
    LINE,
    PARSE_ERROR,
    TEXT_COLUMNS,
    TIMESTAMP_TEXT,
    VALUE_COLUMNS,
    raw_columns,
)

UNREADABLE = "row cannot be read"
EMPTY, HAS_CONTROL_CHARACTER = "is empty", "has a control character"
MISSING, NOT_A_NUMBER, NOT_FINITE = "is missing", "is not a number", "is not finite"
OUTSIDE_SCALE = "is outside the scale"
EXTREME, HAS_NO_WEIGHT = "is extreme", "has no weight"
SOMETIMES_MISSING = "is missing while other rows have one"
BEFORE_1970, IN_FUTURE = "is before 1970", "is in the future"

MIN_WEIGHT, MAX_WEIGHT = 1e-12, 1e12  # counts, durations and amounts of money are in between
MIN_MILLISECONDS = 100_000_000_000  # as seconds, the year 5138: larger values must be milliseconds
REMEDIES = {  # what to do about a reason that contains the text
    "(milliseconds?)": "set data.file.timestamp_unit to ms",
    HAS_NO_WEIGHT: "add the event to data.file.columns.event.weights (0 leaves it out)",
}
MAX_QUOTED_CHARACTERS = 42  # of an invalid value, in a reason


@dataclass(frozen=True)
class RowRules:
    """Valid values of a row.

    Attributes:
        scale: lowest and highest valid rating.
        now: latest valid timestamp, UTC seconds.
        event_types: event types that have a weight.
    """

    scale: RatingScale
    now: float
    event_types: Collection[str] = ()


def find_problems(rows: pd.DataFrame, rules: RowRules) -> pd.DataFrame:
    """Check raw rows and return every failed check, not only the first one of a row.

    Args:
        rows: raw table (`raw_columns`) with a range index and text as categories.
        rules: valid values.

    Returns:
        Failed checks in order of row and column: `row`, `problem` ("rating is outside the scale") and
        `reason` ("rating 9 is outside 1 to 5").

    Raises:
        DataError: a column is missing or has the wrong type.
    """
    failures = _failed_checks(rows, _row_schema(rows, rules))
    unreadable = set(failures.loc[failures["check"] == UNREADABLE, "row"])
    # A row that cannot be read fails the other checks only because its cells are empty.
    is_implied = failures["row"].isin(unreadable) & (failures["check"] != UNREADABLE)
    parts = [
        _explain(rows, str(column), problem, row_numbers, rules.scale)
        for (column, check), group in failures[~is_implied].groupby(["column", "check"], sort=False)
        for problem, row_numbers in _split_null_failures(
            rows, str(column), str(check), group["row"].to_numpy()
        )
        if len(row_numbers)
    ]
    if not parts:
        return pd.DataFrame({"row": pd.Series(dtype="int64"), "problem": pd.Series(dtype=str), "reason": []})
    return _sort_by_row_and_column(pd.concat(parts, ignore_index=True))


def find_remedy(reasons: pd.Series) -> str | None:
    """Return what to do about the first reason that has a remedy in params.yaml, if any."""
    remedies = (remedy for text, remedy in REMEDIES.items() if reasons.str.contains(text, regex=False).any())
    return next(remedies, None)


def has_timestamps(rows: pd.DataFrame) -> bool:
    """Return True if any row has a timestamp, valid or not."""
    return bool(rows[TIMESTAMP].notna().any() or rows[TIMESTAMP_TEXT].notna().any())


def _row_schema(rows: pd.DataFrame, rules: RowRules) -> pa.DataFrameSchema:
    """Return the pandera schema of the raw table; the error of each check names the problem it detects."""
    values = {
        RATING: _number_column(lambda ratings: ratings.between(*rules.scale), error=OUTSIDE_SCALE),
        WEIGHT: _number_column(
            lambda weights: (weights == 0) | weights.abs().between(MIN_WEIGHT, MAX_WEIGHT), error=EXTREME
        ),
        EVENT: _event_column(rules.event_types),
    }
    timestamp_checks = [
        pa.Check(lambda times: times >= 0, error=BEFORE_1970),
        pa.Check(lambda times: times <= rules.now, error=IN_FUTURE),
    ]
    always_fails = pa.Check(lambda errors: pd.Series(False, errors.index), error=UNREADABLE)
    return pa.DataFrameSchema(
        {
            LINE: pa.Column("int64"),
            USER: _id_column(),
            ITEM: _id_column(),
            **{name: values[name] for name in VALUE_COLUMNS if name in rows},
            TIMESTAMP: pa.Column("float64", timestamp_checks, nullable=not has_timestamps(rows)),
            PARSE_ERROR: pa.Column("category", always_fails, nullable=True),
        }
    )


def _number_column(is_valid: Callable[[pd.Series], pd.Series], error: str) -> pa.Column:
    """Return the schema of a column of finite numbers that pass a check; infinity fails only as such."""
    checks = [
        pa.Check(np.isfinite, error=NOT_FINITE),
        pa.Check(lambda values: is_valid(values) | np.isinf(values), error=error),
    ]
    return pa.Column("float64", checks)


def _id_column() -> pa.Column:
    """Return the schema of an id column."""
    checks = [
        pa.Check(_check_categories(lambda name: name != ""), error=EMPTY),
        pa.Check(
            _check_categories(lambda name: not CONTROL_CHARACTERS.search(name)), error=HAS_CONTROL_CHARACTER
        ),
    ]
    return pa.Column("category", checks)


def _event_column(event_types: Collection[str]) -> pa.Column:
    """Return the schema of the event column; an empty cell is a missing event, not an unknown one."""
    checks = [
        pa.Check(_check_categories(lambda name: name != ""), error=EMPTY),
        pa.Check(_check_categories(lambda name: name in (*event_types, "")), error=HAS_NO_WEIGHT),
    ]
    return pa.Column("category", checks)


def _check_categories(is_valid: Callable[[str], bool]) -> Callable[[pd.Series], pd.Series]:
    """Return a check of a column of categories that runs once per distinct text, not once per row."""

    def check(texts: pd.Series) -> pd.Series:
        invalid = [code for code, name in enumerate(texts.cat.categories) if not is_valid(name)]
        return ~texts.cat.codes.isin(invalid)

    return check


def _failed_checks(rows: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return every failure as `column`, `check` and `row`."""
    try:
        schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return pd.DataFrame({"column": [], "check": [], "row": []})
    if cases["index"].isna().any():  # a failure of the whole table
        first = cases[cases["index"].isna()].iloc[0]
        raise DataError(f"the raw table has an invalid schema: {first['check']}, {first['failure_case']}")
    failures: pd.DataFrame = cases[["column", "check"]].assign(row=cases["index"].astype("int64"))
    return failures


def _split_null_failures(
    rows: pd.DataFrame, column: str, check: str, row_numbers: Int64Array
) -> Iterator[tuple[str, Int64Array]]:
    """Yield each problem with its rows. A null stands for an empty id, a missing number, or other text."""
    if check != "not_nullable":
        yield check, row_numbers
    elif column not in TEXT_COLUMNS:
        yield EMPTY, row_numbers
    else:
        has_text = rows[TEXT_COLUMNS[column]].notna().to_numpy()[row_numbers]
        yield NOT_A_NUMBER, row_numbers[has_text]
        yield SOMETIMES_MISSING if column == TIMESTAMP else MISSING, row_numbers[~has_text]


def _explain(
    rows: pd.DataFrame, column: str, problem: str, row_numbers: Int64Array, scale: RatingScale
) -> pd.DataFrame:
    """Return the rows that have a problem, each with a reason that quotes the invalid value."""
    values = rows[TEXT_COLUMNS[column] if problem == NOT_A_NUMBER else column].iloc[row_numbers]
    reasons = [_reason(column, problem, value, scale) for value in values]
    name = problem if problem == UNREADABLE else f"{column} {problem}"
    return pd.DataFrame({"row": row_numbers, "problem": name, "reason": reasons})


def _reason(column: str, problem: str, value: Any, scale: RatingScale) -> str:
    if problem == UNREADABLE:
        return str(value)
    if problem == OUTSIDE_SCALE:
        return f"rating {value:.9g} is outside {scale[0]:g} to {scale[1]:g}"
    if problem == EXTREME:
        return f"weight {value:.9g} {problem} (expected 0, or {MIN_WEIGHT:g} to {MAX_WEIGHT:g} in size)"
    if problem in (NOT_A_NUMBER, HAS_CONTROL_CHARACTER, HAS_NO_WEIGHT):
        return f"{column} {_quote(value)} {problem}"
    if problem in (BEFORE_1970, IN_FUTURE):
        hint = " (milliseconds?)" if value > MIN_MILLISECONDS else ""
        return f"timestamp {value:.15g} {problem}{hint}"
    return f"{column} {problem}"


def _quote(value: str) -> str:
    text = repr(str(value))
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[: MAX_QUOTED_CHARACTERS - 3]}...'"


def _sort_by_row_and_column(problems: pd.DataFrame) -> pd.DataFrame:
    order = {column: position for position, column in enumerate(raw_columns(*VALUE_COLUMNS))}
    positions = problems["problem"].str.split().str[0].map(order).fillna(0)
    ordered = problems.assign(position=positions).sort_values(["row", "position"], kind="stable")
    return ordered.drop(columns="position")
