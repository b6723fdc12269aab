"""Ingest the raw files: convert them to Parquet tables of interactions (with line numbers) and items."""

import logging

import pyarrow.parquet as pq

from experiments.config import Params
from experiments.datasets.interactions_reader import choose_table_formats, read_interactions
from experiments.datasets.items_table import items_from_interactions, read_items
from experiments.datasets.value_columns import choose_value_columns
from pipelines.support.json_reader import read_json
from pipelines.support.paths import INGESTED_INTERACTIONS, INGESTED_ITEMS, RAW, SOURCE
from pipelines.support.stage_runner import run_stage

log = logging.getLogger(__name__)


def convert_to_parquet(params: Params) -> None:
    """Write data/ingested. A source without an items file gets a table of the items in the interactions."""
    source = read_json(SOURCE)
    values = choose_value_columns(params.data, params.interactions.feedback)
    if values.unused is not None:
        log.warning("%s", values.unused)
    formats = choose_table_formats(params.data, values)
    interactions = read_interactions(RAW / source["interactions"], formats.interactions)
    items = (
        read_items(RAW / source["items"], formats.items)
        if source["items"]
        else items_from_interactions(interactions)
    )
    INGESTED_INTERACTIONS.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(interactions, INGESTED_INTERACTIONS)
    pq.write_table(items, INGESTED_ITEMS)


if __name__ == "__main__":
    run_stage(convert_to_parquet, "ingest")
