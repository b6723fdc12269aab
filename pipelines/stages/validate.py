"""Validate: the ingested tables -> the ratings and items that everything else reads, and the quarantine."""

import logging
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.config.offline import Params
from experiments.datasets.items import complete_items
from experiments.datasets.summary import profile
from marquee.errors import MarqueeError, ValidationFailed
from marquee.files.atomic_write import write_json
from marquee.interactions.matrix import ITEM, USER
from marquee.interactions.validation import Outcome, Rules, check_ratings
from pipelines.support.paths import (
    INGESTED_ITEMS,
    INGESTED_RATINGS,
    ITEMS,
    QUARANTINE,
    RATINGS,
    SOURCE,
    VALIDATION,
)
from pipelines.support.stage_runner import read_json, run

log = logging.getLogger(__name__)


def validate(params: Params) -> None:
    """Write what passes; where too much does not, write the quarantine alone and say why."""
    scale = read_json(SOURCE)["scale"]
    limits = params.validation
    rules = Rules((scale[0], scale[1]), limits.duplicates, limits.max_bad_share, time.time())
    rows = _read_ingested()
    items = pd.read_parquet(INGESTED_ITEMS)
    for stale in (RATINGS, ITEMS, VALIDATION):
        stale.unlink(missing_ok=True)
    outcome = check_ratings(rows, rules)
    outcome.quarantine.to_csv(QUARANTINE, index=False)
    if outcome.failure is not None:
        raise ValidationFailed(f"{outcome.failure}; all of them: {QUARANTINE}")
    _write(outcome, complete_items(items, outcome.ratings[ITEM]))
    write_json(VALIDATION, profile(outcome, rules.scale))
    log.info("%d ratings pass, %d rows in %s", len(outcome.ratings), len(outcome.quarantine), QUARANTINE)


def _read_ingested() -> pd.DataFrame:
    """The ingested rows; text as categories, which is a tenth of the memory."""
    try:
        names = pq.read_schema(INGESTED_RATINGS)
    except FileNotFoundError:
        raise MarqueeError(f"{INGESTED_RATINGS} is missing: run the pipeline with `make repro`") from None
    texts = [field.name for field in names if pa.types.is_string(field.type)]
    frame: pd.DataFrame = pq.read_table(INGESTED_RATINGS, read_dictionary=texts).to_pandas()
    return frame


def _write(outcome: Outcome, items: pd.DataFrame) -> None:
    """The checked tables, ids as plain text."""
    ratings = pa.Table.from_pandas(outcome.ratings, preserve_index=False)
    for name in (USER, ITEM):
        at = ratings.column_names.index(name)
        ratings = ratings.set_column(at, name, ratings[name].cast(pa.string()))
    pq.write_table(ratings.replace_schema_metadata(None), RATINGS)
    items.to_parquet(ITEMS, index=False)


if __name__ == "__main__":
    run(validate, "validate")
