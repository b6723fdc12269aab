"""Validate the ingested tables: valid rows go on to later stages, the others to the quarantine."""

import logging
import time
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.config import Params
from experiments.datasets.interactions_summary import summarize_interactions
from experiments.datasets.items_table import clean_and_complete_items
from experiments.datasets.value_columns import choose_value_columns
from marquee.errors import DataValidationError
from marquee.files.atomic_write import write_json
from marquee.interactions.aggregation import RepeatsPolicy
from marquee.interactions.columns import ITEM, USER
from marquee.interactions.distribution_checks import describe_distribution, find_unlearnable_distribution
from marquee.interactions.validation import ValidationResult, ValidationRules, validate_interactions
from pipelines.support.json_reader import missing_output_error, read_json
from pipelines.support.paths import (
    FEEDBACK,
    INGESTED_INTERACTIONS,
    INGESTED_ITEMS,
    INTERACTIONS,
    ITEMS,
    QUARANTINE,
    SOURCE,
    VALIDATION,
)
from pipelines.support.stage_runner import run_stage

log = logging.getLogger(__name__)

REPEATS_IN_WORDS: dict[RepeatsPolicy, str] = {
    "last": "the last one counts",
    "mean": "their mean counts",
    "sum": "their sum counts",
    "count": "their number counts",
    "max": "the largest counts",
}


def quarantine_invalid_rows(params: Params) -> None:
    """Write the valid rows, the quarantine and the counts; a rejected table leaves no valid rows."""
    rules = _build_rules(params)
    rows = _read_ingested()
    items = pd.read_parquet(INGESTED_ITEMS)
    for path in (INTERACTIONS, FEEDBACK, ITEMS, VALIDATION):
        path.unlink(missing_ok=True)
    result = validate_interactions(rows, rules)
    table = result.interactions
    items = clean_and_complete_items(items, table[ITEM])
    result.quarantine.to_csv(QUARANTINE, index=False)
    allow_repeats = params.split.repeat == "allow"
    failure = _failure(result, allow_repeats)
    warnings = [
        *result.warnings,
        *describe_distribution(result.remaining, allow_repeats),
        *_item_warnings(result.remaining, items),
    ]
    write_json(VALIDATION, {**summarize_interactions(result), "warnings": warnings, "failure": failure})
    if failure is not None:
        raise DataValidationError(failure)
    _write_tables(table, items)
    write_json(FEEDBACK, result.feedback.to_record())
    _log_outcome(result, warnings)


def _build_rules(params: Params) -> ValidationRules:
    scale, settings = read_json(SOURCE)["scale"], params.interactions
    values = choose_value_columns(params.data, settings.feedback)
    return ValidationRules(
        scale=(scale[0], scale[1]),
        max_invalid_share=params.validation.max_invalid_share,
        now=time.time(),
        feedback=settings.feedback,
        repeats=settings.repeats,
        negative_weights=settings.negative_weights,
        event_weights=values.event_weights,
        positive_from=params.measure.relevance_threshold,
        weights_description=values.description,
    )


def _read_ingested() -> pd.DataFrame:
    """Read the ingested interactions, with text columns as categories, which need a tenth of the memory."""
    try:
        schema = pq.read_schema(INGESTED_INTERACTIONS)
    except FileNotFoundError:
        raise missing_output_error(INGESTED_INTERACTIONS) from None
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    frame: pd.DataFrame = pq.read_table(INGESTED_INTERACTIONS, read_dictionary=texts).to_pandas()
    return frame


def _failure(result: ValidationResult, allow_repeats: bool) -> str | None:
    """Return the reason to reject the table, if any; for invalid rows it names the file that lists them."""
    if result.failure is not None:
        return f"{result.failure}; {QUARANTINE} lists all of these rows"
    return find_unlearnable_distribution(result.remaining, allow_repeats)


def _item_warnings(table: pd.DataFrame, items: pd.DataFrame) -> list[str]:
    n_unused = len(items) - table[ITEM].nunique()
    if not n_unused or table.empty:
        return []
    return [f"{n_unused} of {len(items)} items have no interactions, so no list will contain them"]


def _write_tables(table: pd.DataFrame, items: pd.DataFrame) -> None:
    """Write the valid interactions, with ids as plain strings instead of categories, and the items."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    for name in (USER, ITEM):
        position = arrow.column_names.index(name)
        arrow = arrow.set_column(position, name, arrow[name].cast(pa.string()))
    pq.write_table(arrow.replace_schema_metadata(None), INTERACTIONS)
    items.to_parquet(ITEMS, index=False)


def _log_outcome(result: ValidationResult, warnings: Sequence[str]) -> None:
    """Log the kind of feedback, the counts, and the warnings."""
    log.info("%s", result.feedback.reason)
    log.info(
        "%d interactions are valid, %d rows are in %s",
        len(result.interactions), len(result.quarantine), QUARANTINE,
    )  # fmt: skip
    if result.n_repeats:
        counts = REPEATS_IN_WORDS[result.feedback.repeats]
        log.info("%d interactions repeat a user and item; %s", result.n_repeats, counts)
    for warning in warnings:
        log.warning("%s", warning)


if __name__ == "__main__":
    run_stage(quarantine_invalid_rows, "validate")
