"""Ingest the raw files: convert them to Parquet tables of ratings and items, with line numbers of ratings."""

import pyarrow.parquet as pq

from experiments.config import Params
from experiments.datasets.items_table import items_from_ratings, read_items
from experiments.datasets.ratings_reader import choose_table_formats, read_ratings
from pipelines.support.json_reader import read_json
from pipelines.support.paths import INGESTED_ITEMS, INGESTED_RATINGS, RAW, SOURCE
from pipelines.support.stage_runner import run_stage


def convert_to_parquet(params: Params) -> None:
    """Write data/ingested. A source without an items file gets a table of the rated items."""
    source = read_json(SOURCE)
    formats = choose_table_formats(params.data)
    ratings = read_ratings(RAW / source["ratings"], formats.ratings)
    items = (
        read_items(RAW / source["items"], formats.items) if source["items"] else items_from_ratings(ratings)
    )
    INGESTED_RATINGS.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(ratings, INGESTED_RATINGS)
    pq.write_table(items, INGESTED_ITEMS)


if __name__ == "__main__":
    run_stage(convert_to_parquet, "ingest")
