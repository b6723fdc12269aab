"""Fetch the files of the data source into data/raw and compute their digest."""

from dataclasses import asdict

from experiments.config import Params
from experiments.datasets.dvc_digest import folder_digest, list_raw_files
from experiments.datasets.source import fetch_source, source_rating_scale
from marquee.files.atomic_write import write_json
from pipelines.support.paths import RAW, SOURCE
from pipelines.support.stage_runner import run_stage


def fetch_data_source(params: Params) -> None:
    """Write data/raw and data/source.json, which lists the files with their digests."""
    fetched = fetch_source(params.data, params.seed, RAW)
    files = list_raw_files(RAW)
    write_json(
        SOURCE,
        {
            "source": params.data.source,
            "digest": folder_digest(files),
            "files": [asdict(file) for file in files],
            "interactions": fetched.interactions,
            "items": fetched.items,
            "scale": list(source_rating_scale(params.data)),
        },
    )


if __name__ == "__main__":
    run_stage(fetch_data_source, "fetch")
