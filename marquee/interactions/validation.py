"""The rules of the ratings table, and what becomes of the rows that break them.

    ingested rows ─► pandera, all failures at once ─► bad rows, with every reason ─┐
                              └► good rows ─► duplicates settled ─► ratings        ├─► quarantine
                                                     └► rows that gave way ────────┘

A row is good, or it is in the quarantine: none is lost. Rows that gave way to a duplicate are
listed there too, and are not bad.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from marquee.errors import DataError
from marquee.interactions.deduplication import Policy, settle
from marquee.interactions.matrix import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.raw_schema import (
    CONTROLS,
    FAULT,
    INGESTED_COLUMNS,
    LINE,
    RATING_TEXT,
    RAW,
    TIMESTAMP_TEXT,
)

REASONS = "reasons"
QUARANTINE_COLUMNS = (LINE, USER, ITEM, RATING, TIMESTAMP, RAW, REASONS)

UNREADABLE = "row cannot be read"
EMPTY, CONTROL = "is empty", "has a control character"
MISSING, NO_NUMBER, INFINITE, OUTSIDE = (
    "is missing",
    "is not a number",
    "is not finite",
    "is outside the scale",
)
PARTLY = "is missing while other rows have one"
BEFORE, FUTURE = "is before 1970", "is in the future"
MILLISECONDS = 100_000_000_000  # as seconds, the year 5138: nobody means that


@dataclass(frozen=True)
class Rules:
    """What is allowed: scale, policy for duplicates, share of bad rows; `now` is in UTC seconds."""

    scale: tuple[float, float]
    duplicates: Policy
    max_bad_share: float
    now: float


@dataclass(frozen=True)
class Outcome:
    """The checked table, the quarantine, and the counts; `failure` says why the table is not usable."""

    ratings: pd.DataFrame
    quarantine: pd.DataFrame
    rows_in: int
    rows_bad: int
    by_reason: dict[str, int]
    duplicates: int
    failure: str | None


def check_ratings(rows: pd.DataFrame, rules: Rules) -> Outcome:
    """Judge the ingested rows (`INGESTED_COLUMNS`) by the rules.

    Raises:
        DataError: the table lacks a column, or a column has another type.
    """
    texts = {name: "category" for name in INGESTED_COLUMNS if name not in (LINE, RATING, TIMESTAMP)}
    rows = rows.reset_index(drop=True).astype(texts)
    has_times = bool(rows[TIMESTAMP].notna().any() or rows[TIMESTAMP_TEXT].notna().any())
    reasons = _reasons(rows, _failures(rows, _schema(rules, has_times)), rules)
    bad = reasons[REASONS].groupby(reasons["row"]).agg("; ".join)
    by_reason = {
        str(kind): int(n) for kind, n in reasons["kind"].value_counts(sort=False).sort_index().items()
    }
    is_good = np.ones(len(rows), dtype=bool)
    is_good[bad.index] = False
    good = rows.loc[is_good, [LINE, USER, ITEM, RATING, TIMESTAMP]]
    kept, gave_way = settle(good, rules.duplicates)
    listed = pd.concat([bad, gave_way]).sort_index()
    ratings = _typed(kept, has_times)
    failure = _too_bad(rows, bad, by_reason, rules.max_bad_share)
    if failure is None and rules.duplicates == "refuse" and len(gave_way):
        failure = _refusal(rows, gave_way)
    return Outcome(ratings, _quarantine(rows, listed), len(rows), len(bad), by_reason, len(gave_way), failure)


def _schema(rules: Rules, has_times: bool) -> pa.DataFrameSchema:
    """The rules as pandera's: each check is named by what it finds."""
    low, high = rules.scale
    times = [
        pa.Check(lambda at: at >= 0, error=BEFORE),
        pa.Check(lambda at: at <= rules.now, error=FUTURE),
    ]
    return pa.DataFrameSchema(
        {
            LINE: pa.Column("int64"),
            USER: _id_column(),
            ITEM: _id_column(),
            RATING: pa.Column(
                "float64",
                [
                    pa.Check(np.isfinite, error=INFINITE),
                    pa.Check(lambda r: r.between(low, high) | np.isinf(r), error=OUTSIDE),
                ],
            ),
            TIMESTAMP: pa.Column("float64", times, nullable=not has_times),
            FAULT: pa.Column(
                "category",
                pa.Check(lambda fault: pd.Series(False, fault.index), error=UNREADABLE),
                nullable=True,
            ),
        }
    )


def _id_column() -> pa.Column:
    """Ids are judged once each, not once a row."""

    def by_category(is_good: Callable[[str], bool]) -> Callable[[pd.Series], pd.Series]:
        def check(ids: pd.Series) -> pd.Series:
            wrong = [code for code, name in enumerate(ids.cat.categories) if not is_good(name)]
            return ~ids.cat.codes.isin(wrong)

        return check

    checks = [
        pa.Check(by_category(lambda name: name != ""), error=EMPTY),
        pa.Check(by_category(lambda name: not CONTROLS.search(name)), error=CONTROL),
    ]
    return pa.Column("category", checks)


def _failures(rows: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Every failure as (column, check, row)."""
    try:
        schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return pd.DataFrame({"column": [], "check": [], "row": []})
    if cases["index"].isna().any():
        first = cases[cases["index"].isna()].iloc[0]
        raise DataError(
            f"the ingested table is not as it should be: {first['check']}, {first['failure_case']}"
        )
    failures: pd.DataFrame = cases[["column", "check"]].assign(row=cases["index"].astype("int64"))
    return failures


def _reasons(rows: pd.DataFrame, failures: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Each failure with its kind and its words, in order of row and column (row, kind, reasons)."""
    unreadable = set(failures.loc[failures["check"] == UNREADABLE, "row"])
    found = []
    for (column, check), group in failures.groupby(["column", "check"], sort=False):
        of_group = group["row"] if check == UNREADABLE else group["row"][~group["row"].isin(unreadable)]
        for kind, part in _by_kind(rows, str(column), str(check), of_group.to_numpy()):
            kinds = kind if check == UNREADABLE else f"{column} {kind}"
            words = [
                _words(str(column), kind, value, rules) for value in _values(rows, str(column), kind, part)
            ]
            found.append(pd.DataFrame({"row": part, "kind": kinds, REASONS: words}))
    if not found:
        return pd.DataFrame({"row": pd.Series(dtype="int64"), "kind": pd.Series(dtype=str), REASONS: []})
    order = {column: n for n, column in enumerate(INGESTED_COLUMNS)}
    joined = pd.concat(found, ignore_index=True)
    rank = joined["kind"].str.split().str[0].map(order).fillna(0)
    return joined.assign(rank=rank).sort_values(["row", "rank"], kind="stable").drop(columns="rank")


def _by_kind(rows: pd.DataFrame, column: str, check: str, part: Any) -> list[tuple[str, Any]]:
    """A null is a missing value, or a text that is no number: told apart."""
    if check != "not_nullable":
        return [(check, part)] if len(part) else []
    if column not in (RATING, TIMESTAMP):
        return [(EMPTY, part)] if len(part) else []
    has_text = rows[f"{column}_text"].notna().to_numpy()[part]
    absent = PARTLY if column == TIMESTAMP else MISSING
    split = [(NO_NUMBER, part[has_text]), (absent, part[~has_text])]
    return [(kind, some) for kind, some in split if len(some)]


def _values(rows: pd.DataFrame, column: str, kind: str, part: Any) -> list[Any]:
    name = f"{column}_text" if kind == NO_NUMBER else column
    return list(rows[name].iloc[part])


def _words(column: str, kind: str, value: Any, rules: Rules) -> str:
    """A reason in words, with the value that is wrong."""
    low, high = rules.scale
    if kind == UNREADABLE:
        return str(value)
    if kind == OUTSIDE:
        return f"rating {value:.9g} is outside {low:g} to {high:g}"
    if kind in (NO_NUMBER, CONTROL):
        return f"{column} {_short(value)} {kind}"
    if kind in (BEFORE, FUTURE):
        hint = " (milliseconds?)" if value > MILLISECONDS else ""
        return f"timestamp {value:.15g} {kind}{hint}"
    return f"{column} {kind}"


def _short(value: str) -> str:
    text = repr(str(value))
    return text if len(text) <= 42 else f"{text[:39]}...'"


def _typed(kept: pd.DataFrame, has_times: bool) -> pd.DataFrame:
    """The ratings table: ids, float32 ratings, and whole seconds where there are any."""
    ratings = kept[[USER, ITEM, RATING]].astype({RATING: "float32"})
    if has_times:
        ratings[TIMESTAMP] = np.floor(kept[TIMESTAMP]).astype("int64")
    return ratings.reset_index(drop=True)


def _quarantine(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """The listed rows as they were read, as text, with their reasons."""
    listed = rows.loc[reasons.index]
    numbers = {
        RATING: [_number(v, text) for v, text in zip(listed[RATING], listed[RATING_TEXT], strict=True)],
        TIMESTAMP: [
            _number(v, text) for v, text in zip(listed[TIMESTAMP], listed[TIMESTAMP_TEXT], strict=True)
        ],
    }
    return listed.assign(**numbers, **{REASONS: reasons})[list(QUARANTINE_COLUMNS)].reset_index(drop=True)


def _number(value: float, text: Any) -> str:
    if pd.isna(value):
        return "" if pd.isna(text) else str(text)
    return f"{value:.15g}"


def _too_bad(rows: pd.DataFrame, bad: pd.Series, by_reason: dict[str, int], most: float) -> str | None:
    """Why the table is refused for its bad rows: the counts by reason, and the first offenders."""
    share = len(bad) / len(rows)
    if share <= most and len(bad) < len(rows):
        return None
    counts = ", ".join(
        f"{n} {kind}" for kind, n in sorted(by_reason.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    allowed = f"{share:.4%}, at most {most:.4%} may be"
    return f"{len(bad)} of {len(rows)} rows are bad ({allowed}): {counts}; first: {_first(rows, bad)}"


def _refusal(rows: pd.DataFrame, gave_way: pd.Series) -> str:
    """Why the table is refused for its duplicates."""
    return (
        f"{len(gave_way)} rows rate an item again, which validate.duplicates refuses (try last or mean): "
        f"{_first(rows, gave_way)}"
    )


def _first(rows: pd.DataFrame, reasons: pd.Series) -> str:
    """The first three offenders."""
    first = reasons.head(3)
    lines = rows[LINE].loc[first.index]
    return ", ".join(f"line {line} ({why})" for line, why in zip(lines, first, strict=True))
