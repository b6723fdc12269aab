"""Validation of raw ratings: valid rows form the interactions table, all others are quarantined.

    raw rows ─► row checks ─┬─► valid rows ─► deduplication ─┬─► interactions table
                            │                                └─► dropped duplicates ─┐
                            └─► invalid rows ────────────────────────────────────────┴─► quarantine

Every raw row is either in the table or in the quarantine. Dropped duplicates are quarantined too, but
do not count as invalid.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from marquee.array_types import RatingScale
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER
from marquee.interactions.deduplication import DuplicatePolicy, resolve_duplicates
from marquee.interactions.raw_table_columns import LINE, RATING_TEXT, RAW, RAW_COLUMNS, TIMESTAMP_TEXT
from marquee.interactions.row_checks import find_problems, has_timestamps

REASONS = "reasons"
QUARANTINE_COLUMNS = (LINE, USER, ITEM, RATING, TIMESTAMP, RAW, REASONS)
MAX_QUOTED_ROWS = 3  # in an error message


@dataclass(frozen=True)
class ValidationRules:
    """Validation rules for the interactions table."""

    scale: RatingScale
    duplicates: DuplicatePolicy
    max_invalid_share: float
    now: float  # latest valid timestamp, UTC seconds


@dataclass(frozen=True)
class ValidationResult:
    """Interactions table, quarantine and counts; `failure` is the reason to reject the table, if any."""

    ratings: pd.DataFrame
    quarantine: pd.DataFrame
    n_rows: int
    n_invalid: int
    problem_counts: dict[str, int]  # "rating is missing": 3; a row may have several problems
    n_duplicates: int
    failure: str | None


def validate_ratings(rows: pd.DataFrame, rules: ValidationRules) -> ValidationResult:
    """Validate and deduplicate raw rows (`RAW_COLUMNS`).

    Raises:
        DataError: a column is missing or has the wrong type.
    """
    texts = {name: "category" for name in RAW_COLUMNS if name not in (LINE, RATING, TIMESTAMP)}
    rows = rows.reset_index(drop=True).astype(texts)
    problems = find_problems(rows, rules.scale, rules.now)
    invalid = problems["reason"].groupby(problems["row"]).agg("; ".join)
    counts = _problem_counts(problems)
    is_valid = np.ones(len(rows), dtype=bool)
    is_valid[invalid.index] = False
    unique = resolve_duplicates(rows.loc[is_valid, [LINE, USER, ITEM, RATING, TIMESTAMP]], rules.duplicates)
    return ValidationResult(
        ratings=_interactions_table(unique.rows, has_timestamps(rows)),
        quarantine=_quarantine(rows, pd.concat([invalid, unique.drop_reasons]).sort_index()),
        n_rows=len(rows),
        n_invalid=len(invalid),
        problem_counts=counts,
        n_duplicates=len(unique.drop_reasons),
        failure=_invalid_rows_failure(rows, invalid, counts, rules.max_invalid_share)
        or _duplicates_failure(rows, unique.drop_reasons, rules.duplicates),
    )


def _problem_counts(problems: pd.DataFrame) -> dict[str, int]:
    counts = problems["problem"].value_counts(sort=False).sort_index()
    return {str(problem): int(count) for problem, count in counts.items()}


def _interactions_table(rows: pd.DataFrame, with_timestamps: bool) -> pd.DataFrame:
    """Return ids, float32 ratings and, if there are any, timestamps in whole seconds."""
    ratings = rows[[USER, ITEM, RATING]].astype({RATING: "float32"})
    if with_timestamps:
        ratings[TIMESTAMP] = np.floor(rows[TIMESTAMP]).astype("int64")
    return ratings.reset_index(drop=True)


def _quarantine(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Return the rows that have a reason (by index), with ratings and timestamps as text."""
    quarantined = rows.loc[reasons.index]
    numbers = {
        name: [
            _number_text(value, text)
            for value, text in zip(quarantined[name], quarantined[text_name], strict=True)
        ]
        for name, text_name in ((RATING, RATING_TEXT), (TIMESTAMP, TIMESTAMP_TEXT))
    }
    columns = quarantined.assign(**numbers, **{REASONS: reasons})[list(QUARANTINE_COLUMNS)]
    return columns.reset_index(drop=True)


def _number_text(value: float, text: Any) -> str:
    if pd.isna(value):
        return "" if pd.isna(text) else str(text)
    return f"{value:.15g}"


def _invalid_rows_failure(
    rows: pd.DataFrame, invalid: pd.Series, problem_counts: dict[str, int], max_share: float
) -> str | None:
    """Return a message if too many rows are invalid: counts by problem, most frequent first."""
    share = len(invalid) / len(rows)
    if share <= max_share and len(invalid) < len(rows):
        return None
    by_count = sorted(problem_counts.items(), key=lambda pair: (-pair[1], pair[0]))
    counts = ", ".join(f"{problem} ({count})" for problem, count in by_count)
    return (
        f"{len(invalid)} of {len(rows)} rows are invalid ({share:.4%}, allowed: {max_share:.4%}): {counts}; "
        f"first: {_first_rows(rows, invalid)}"
    )


def _duplicates_failure(rows: pd.DataFrame, dropped: pd.Series, policy: DuplicatePolicy) -> str | None:
    """Return a message if there are duplicates and the policy is to refuse them."""
    if policy != "refuse" or dropped.empty:
        return None
    return (
        f"{len(dropped)} rows are duplicates, which validate.duplicates: refuse does not allow "
        f"(use last or mean): {_first_rows(rows, dropped)}"
    )


def _first_rows(rows: pd.DataFrame, reasons: pd.Series) -> str:
    first = reasons.head(MAX_QUOTED_ROWS)
    lines = rows[LINE].loc[first.index]
    return ", ".join(f"line {line} ({reason})" for line, reason in zip(lines, first, strict=True))
