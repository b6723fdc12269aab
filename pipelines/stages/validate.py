"""Validate the ingested tables: valid rows go on to later stages, the others to the quarantine."""

import logging
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.config import Params
from experiments.datasets.items_table import clean_and_complete_items
from experiments.datasets.ratings_summary import summarize_ratings
from marquee.errors import DataValidationError
from marquee.files.atomic_write import write_json
from marquee.interactions.columns import ITEM, USER
from marquee.interactions.validation import ValidationRules, validate_ratings
from pipelines.support.json_reader import missing_output_error, read_json
from pipelines.support.paths import (
    INGESTED_ITEMS,
    INGESTED_RATINGS,
    ITEMS,
    QUARANTINE,
    RATINGS,
    SOURCE,
    VALIDATION,
)
from pipelines.support.stage_runner import run_stage

log = logging.getLogger(__name__)


def quarantine_invalid_rows(params: Params) -> None:
    """Write the valid rows and the quarantine; if the table is rejected, write the quarantine and fail."""
    scale = read_json(SOURCE)["scale"]
    limits = params.validation
    rules = ValidationRules((scale[0], scale[1]), limits.duplicates, limits.max_invalid_share, time.time())
    rows = _read_ingested()
    items = pd.read_parquet(INGESTED_ITEMS)
    for path in (RATINGS, ITEMS, VALIDATION):
        path.unlink(missing_ok=True)
    result = validate_ratings(rows, rules)
    result.quarantine.to_csv(QUARANTINE, index=False)
    if result.failure is not None:
        raise DataValidationError(f"{result.failure}; {QUARANTINE} lists all of these rows")
    _write_tables(result.ratings, clean_and_complete_items(items, result.ratings[ITEM]))
    write_json(VALIDATION, summarize_ratings(result, rules.scale))
    log.info(
        "%d ratings are valid, %d rows are in %s", len(result.ratings), len(result.quarantine), QUARANTINE
    )


def _read_ingested() -> pd.DataFrame:
    """Read the ingested ratings, with text columns as categories, which need a tenth of the memory."""
    try:
        schema = pq.read_schema(INGESTED_RATINGS)
    except FileNotFoundError:
        raise missing_output_error(INGESTED_RATINGS) from None
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    frame: pd.DataFrame = pq.read_table(INGESTED_RATINGS, read_dictionary=texts).to_pandas()
    return frame


def _write_tables(ratings: pd.DataFrame, items: pd.DataFrame) -> None:
    """Write the valid ratings, with ids as plain strings instead of categories, and the items."""
    table = pa.Table.from_pandas(ratings, preserve_index=False)
    for name in (USER, ITEM):
        position = table.column_names.index(name)
        table = table.set_column(position, name, table[name].cast(pa.string()))
    pq.write_table(table.replace_schema_metadata(None), RATINGS)
    items.to_parquet(ITEMS, index=False)


if __name__ == "__main__":
    run_stage(quarantine_invalid_rows, "validate")
