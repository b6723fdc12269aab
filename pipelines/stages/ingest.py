"""Ingest: the raw files -> the ingested ratings and items, every row of them."""

import pyarrow.parquet as pq

from experiments.config.offline import Params
from experiments.datasets.items import items_of, items_table
from experiments.datasets.readers import layouts, ratings_table
from pipelines.support.paths import INGESTED_ITEMS, INGESTED_RATINGS, RAW, SOURCE
from pipelines.support.stage_runner import read_json, run


def ingest(params: Params) -> None:
    """Write the ratings and items tables; where the source has no items, those that were rated."""
    source = read_json(SOURCE)
    for_ratings, for_items = layouts(params.data)
    ratings = ratings_table(RAW / source["ratings"], for_ratings)
    items = items_table(RAW / source["items"], for_items) if source["items"] else items_of(ratings)
    INGESTED_RATINGS.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(ratings, INGESTED_RATINGS)
    pq.write_table(items, INGESTED_ITEMS)


if __name__ == "__main__":
    run(ingest, "ingest")
