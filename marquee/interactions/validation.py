"""Validation of raw rows: valid rows form the interactions table, all others are quarantined.

    raw rows ─► row checks ─┬─► valid rows ─► weights ─┬─► interactions table
                            │                          └─► rows left out ─┐
                            └─► invalid rows ─────────────────────────────┴─► quarantine

Every raw row is either in the table or in the quarantine. Rows that are left out because of their weight are
quarantined, but do not count as invalid. A user and item may have several rows, which are aggregated only
after the split (`marquee.interactions.aggregation`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from marquee.array_types import RatingScale
from marquee.interactions.aggregation import aggregate
from marquee.interactions.columns import ITEM, RATING, TIMESTAMP, USER, WEIGHT
from marquee.interactions.distribution_checks import constant_rating
from marquee.interactions.feedback import (
    EVERY_ROW_COUNTS_ONE,
    FeedbackSetting,
    FeedbackSpec,
    NegativeWeightsPolicy,
    RepeatsSetting,
    explicit_feedback,
    implicit_feedback,
)
from marquee.interactions.raw_table_columns import LINE, RAW, TEXT_COLUMNS, VALUE_COLUMNS, raw_columns
from marquee.interactions.row_checks import RowRules, find_problems, find_remedy, has_timestamps
from marquee.interactions.row_weights import (
    IS_ZERO,
    classify_left_out,
    compute_row_weights,
    explain_left_out,
)

REASONS = "reasons"
MAX_QUOTED_ROWS = 3  # in an error message


@dataclass(frozen=True)
class ValidationRules:
    """Validation rules for the interactions table.

    Attributes:
        scale: lowest and highest valid rating.
        max_invalid_share: share of invalid rows above which the table is rejected.
        now: latest valid timestamp, UTC seconds.
        feedback: "auto" is explicit if the table has ratings that differ, else implicit.
        repeats: value of a user and item with several rows; "refuse" rejects the table.
        negative_weights: drop these rows, or keep them, to be subtracted when rows are aggregated.
        event_weights: weight of a row by its event type.
        positive_from: lowest rating of a relevant item; None: three quarters of the way up the scale.
        weights_description: where weights come from, as a clause of a sentence.
    """

    scale: RatingScale
    max_invalid_share: float
    now: float
    feedback: FeedbackSetting = "auto"
    repeats: RepeatsSetting = "auto"
    negative_weights: NegativeWeightsPolicy = "drop"
    event_weights: Mapping[str, float] = field(default_factory=dict)
    positive_from: float | None = None
    weights_description: str = EVERY_ROW_COUNTS_ONE


@dataclass(frozen=True)
class ValidationResult:
    """Interactions table, quarantine and counts; `failure` is the reason to reject the table, if any."""

    interactions: pd.DataFrame
    remaining: pd.DataFrame  # the same, or one row per pair with something left if weights are subtracted
    quarantine: pd.DataFrame
    feedback: FeedbackSpec
    n_rows: int
    n_invalid: int
    problem_counts: dict[str, int]  # "rating is missing": 3; a row may have several problems
    left_out_counts: dict[str, int]  # "weight is 0": 3
    n_repeats: int  # rows whose user and item have an earlier row
    warnings: tuple[str, ...]  # one sentence each
    failure: str | None


def quarantine_columns(*values: str) -> tuple[str, ...]:
    """Return the columns of the quarantine of a raw table with the given `VALUE_COLUMNS`."""
    return (LINE, USER, ITEM, *values, TIMESTAMP, RAW, REASONS)


def validate_interactions(rows: pd.DataFrame, rules: ValidationRules) -> ValidationResult:
    """Validate raw rows (`raw_columns`), and derive the kind of feedback.

    Raises:
        ConfigError: a setting does not fit the kind of feedback or the scale.
        DataError: a column is missing or has the wrong type.
    """
    rows = _with_categories(rows.reset_index(drop=True))
    problems = find_problems(rows, RowRules(rules.scale, rules.now, rules.event_weights.keys()))
    invalid = problems["reason"].groupby(problems["row"]).agg("; ".join)
    valid = rows.drop(index=invalid.index)
    feedback = _derive_feedback(valid, rules)
    selection = _select_rows(valid, feedback, rules)
    table = _interactions_table(selection.rows, has_timestamps(rows))
    remaining = _subtract_returns(table, feedback)
    reasons = pd.concat([invalid, selection.left_out_reasons, selection.refused_reasons]).sort_index()
    return ValidationResult(
        interactions=table,
        remaining=remaining,
        quarantine=_quarantine(rows, reasons),
        feedback=feedback,
        n_rows=len(rows),
        n_invalid=len(invalid),
        problem_counts=_count(problems["problem"]),
        left_out_counts=_count(selection.left_out),
        n_repeats=selection.n_repeats,
        warnings=(
            *_warn_of_invalid_rows(rows, invalid, problems),
            *_warn_of_values(valid, selection, feedback),
            *_warn_of_returns(table, remaining),
        ),
        failure=_invalid_rows_failure(rows, invalid, problems, rules.max_invalid_share)
        or _repeats_failure(rows, selection.refused_reasons),
    )


@dataclass(frozen=True)
class _Selection:
    """Valid rows that form the table, and the others, by index."""

    rows: pd.DataFrame  # user, item, rating or weight, timestamp
    left_out: pd.Series  # kind of weight for which a row is left out
    left_out_reasons: pd.Series
    refused_reasons: pd.Series  # of repeats, if they are refused
    n_repeats: int
    n_twice_negative: int  # rows with a negative weight and an event with a negative weight


def _with_categories(rows: pd.DataFrame) -> pd.DataFrame:
    """Convert text to categories, which need less memory and are checked once per distinct text."""
    columns = raw_columns(*(name for name in VALUE_COLUMNS if name in rows))
    return rows.astype({name: "category" for name in columns if name not in (LINE, *TEXT_COLUMNS)})


def _count(labels: pd.Series) -> dict[str, int]:
    counts = labels.value_counts(sort=False).sort_index()
    return {str(label): int(count) for label, count in counts.items()}


def _derive_feedback(valid: pd.DataFrame, rules: ValidationRules) -> FeedbackSpec:
    """Return explicit feedback if there are ratings that differ or if the rules say so, else implicit."""
    if RATING not in valid:
        cause = "as interactions.feedback says" if rules.feedback == "implicit" else "as there are no ratings"
        reason = f"feedback is implicit, {cause}; {rules.weights_description}"
        return implicit_feedback(reason, rules.repeats, rules.negative_weights)
    if rules.feedback == "auto" and (rating := constant_rating(valid[RATING])) is not None:
        cause = f"as all {len(valid)} ratings are {rating:g}"
        return implicit_feedback(f"feedback is implicit, {cause}; {EVERY_ROW_COUNTS_ONE}", rules.repeats)
    cause = "as interactions.feedback says" if rules.feedback == "explicit" else "as there are ratings"
    reason = f"feedback is explicit, {cause}"
    return explicit_feedback(reason, rules.scale, rules.positive_from, rules.repeats)


def _select_rows(valid: pd.DataFrame, feedback: FeedbackSpec, rules: ValidationRules) -> _Selection:
    """Add the values, and drop the rows that are left out or refused."""
    if feedback.feedback == "explicit":
        values, left_out = valid[RATING], pd.Series(dtype=object)
    else:
        values = compute_row_weights(valid, rules.event_weights)
        left_out = classify_left_out(values, rules.negative_weights)
    rows = valid[[LINE, USER, ITEM, TIMESTAMP]].assign(**{str(values.name): values})
    rows = rows.drop(index=left_out.index)
    pairs = rows[USER].cat.codes.astype("int64") * len(rows[ITEM].cat.categories) + rows[ITEM].cat.codes
    n_repeats = int(pairs.duplicated().sum())
    refused = _explain_repeats(rows[LINE], pairs) if feedback.repeats == "refuse" else pd.Series(dtype=object)
    return _Selection(
        rows.drop(index=refused.index),
        left_out,
        explain_left_out(valid, left_out),
        refused,
        n_repeats,
        n_twice_negative=int(((valid[WEIGHT] < 0) & (values > 0)).sum()) if WEIGHT in valid else 0,
    )


def _explain_repeats(lines: pd.Series, pairs: pd.Series) -> pd.Series:
    """Return, for each row whose pair has an earlier row, a reason with the line of the first one."""
    repeated = pairs[pairs.duplicated()]
    first = pairs.drop_duplicates()
    first_lines = pd.Series(lines[first.index].to_numpy(), first.to_numpy())[repeated.to_numpy()]
    reasons = [f"same user and item as line {line}" for line in first_lines]
    return pd.Series(reasons, repeated.index, dtype=object)


def _interactions_table(rows: pd.DataFrame, with_timestamps: bool) -> pd.DataFrame:
    """Return ids, float32 ratings or weights and, if there are any, timestamps in whole seconds."""
    value = RATING if RATING in rows else WEIGHT
    table = rows[[USER, ITEM, value]].astype({value: "float32"})
    if with_timestamps:
        table[TIMESTAMP] = np.floor(rows[TIMESTAMP]).astype("int64")
    return table.reset_index(drop=True)


def _subtract_returns(table: pd.DataFrame, feedback: FeedbackSpec) -> pd.DataFrame:
    """Return the pairs of which something is left; without negative weights the table itself."""
    has_returns = WEIGHT in table and bool((table[WEIGHT] < 0).any())
    return aggregate(table, feedback.repeats) if has_returns else table


def _quarantine(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Return the rows that have a reason (by index), with numbers as text."""
    quarantined = rows.loc[reasons.index]
    numbers = {
        name: _number_texts(quarantined[name], quarantined[text_name])
        for name, text_name in TEXT_COLUMNS.items()
        if name in rows
    }
    names = quarantine_columns(*(name for name in VALUE_COLUMNS if name in rows))
    return quarantined.assign(**numbers, **{REASONS: reasons})[list(names)].reset_index(drop=True)


def _number_texts(values: pd.Series, texts: pd.Series) -> pd.Series:
    """Return each number as text; where there is none, the text of its cell, or nothing."""
    numbers = values.map("{:.15g}".format)
    return numbers.where(values.notna(), texts.astype(object).where(texts.notna(), ""))


def _warn_of_invalid_rows(rows: pd.DataFrame, invalid: pd.Series, problems: pd.DataFrame) -> list[str]:
    """Return which rows are invalid, as one sentence, or nothing."""
    if invalid.empty:
        return []
    described = _describe_invalid_rows(rows, invalid, problems)
    return [f"{len(invalid)} of {len(rows)} rows are invalid and left out: {described}"]


def _warn_of_values(valid: pd.DataFrame, selection: _Selection, feedback: FeedbackSpec) -> list[str]:
    """Return how unusual ratings and weights were treated, one sentence each."""
    warnings = []
    if RATING in valid and feedback.feedback == "implicit":
        warnings.append(
            f"all {len(valid)} ratings are {valid[RATING].iloc[0]:g}, which says nothing about taste: they "
            f"are used as implicit feedback (to refuse them, set interactions.feedback to explicit)"
        )
    for kind, count in _count(selection.left_out).items():
        hint = "" if kind == IS_ZERO else "; to subtract them, set interactions.negative_weights to subtract"
        warnings.append(f"left out {count} of {len(valid)} rows whose {kind}{hint}")
    if selection.n_twice_negative:
        warnings.append(
            f"{selection.n_twice_negative} of {len(valid)} rows have a negative weight and an event with "
            f"a negative weight, so they count as positive (for returns, give the event a positive weight)"
        )
    return warnings


def _warn_of_returns(table: pd.DataFrame, remaining: pd.DataFrame) -> list[str]:
    """Return how many rows are subtracted and what that leaves, as one sentence, or nothing."""
    n_negative = int((table[WEIGHT] < 0).sum()) if WEIGHT in table else 0
    if not n_negative:
        return []
    n_pairs = len(table.drop_duplicates([USER, ITEM]))
    return [
        f"{n_negative} rows with a negative weight are subtracted, which leaves nothing of "
        f"{n_pairs - len(remaining)} of {n_pairs} pairs of user and item"
    ]


def _describe_invalid_rows(rows: pd.DataFrame, invalid: pd.Series, problems: pd.DataFrame) -> str:
    """Return counts by problem, most frequent first, the first rows, and what to do if that is known."""
    by_count = sorted(_count(problems["problem"]).items(), key=lambda pair: (-pair[1], pair[0]))
    counts = ", ".join(f"{problem} ({count})" for problem, count in by_count)
    remedy = find_remedy(invalid)
    return f"{counts}; first: {_first_rows(rows, invalid)}{'' if remedy is None else f'; {remedy}'}"


def _invalid_rows_failure(
    rows: pd.DataFrame, invalid: pd.Series, problems: pd.DataFrame, max_share: float
) -> str | None:
    """Return a message if too many rows are invalid."""
    share = len(invalid) / len(rows)
    if share <= max_share and len(invalid) < len(rows):
        return None
    return (
        f"{len(invalid)} of {len(rows)} rows are invalid ({share:.4%}, allowed: {max_share:.4%}): "
        f"{_describe_invalid_rows(rows, invalid, problems)}"
    )


def _repeats_failure(rows: pd.DataFrame, refused: pd.Series) -> str | None:
    """Return a message if there are repeats that are refused."""
    if refused.empty:
        return None
    return (
        f"{len(refused)} rows repeat a user and item, which interactions.repeats: refuse does not allow "
        f"(use auto): {_first_rows(rows, refused)}"
    )


def _first_rows(rows: pd.DataFrame, reasons: pd.Series) -> str:
    first = reasons.head(MAX_QUOTED_ROWS)
    lines = rows[LINE].loc[first.index]
    return ", ".join(f"line {line} ({reason})" for line, reason in zip(lines, first, strict=True))
