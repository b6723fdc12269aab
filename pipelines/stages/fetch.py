"""Fetch: any source -> data/raw and its digest."""

from experiments.config.offline import Params
from experiments.datasets.dvc_digest import as_json, digest_of, files_of
from experiments.datasets.source import fetch_source, scale_of
from marquee.files.atomic_write import write_json
from pipelines.support.paths import RAW, SOURCE
from pipelines.support.stage_runner import run


def fetch(params: Params) -> None:
    """Fill data/raw with the files that are read, and note what they are."""
    fetched = fetch_source(params.data, params.seed, RAW)
    files = files_of(RAW)
    write_json(
        SOURCE,
        {
            "source": params.data.source,
            "digest": digest_of(files),
            "files": as_json(files),
            "ratings": fetched.ratings,
            "items": fetched.items,
            "scale": list(scale_of(params.data)),
        },
    )


if __name__ == "__main__":
    run(fetch, "fetch")
