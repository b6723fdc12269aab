"""Data source that the stage `fetch` described in data/source.json."""

from experiments.tracking.data_version import DataVersion
from pipelines.support.json_reader import read_json
from pipelines.support.paths import RAW, SOURCE


def read_data_version() -> DataVersion:
    """Return the data source and the digest of its raw files, which equals the digest in dvc.lock."""
    source = read_json(SOURCE)
    return DataVersion(source["source"], source["digest"], str(RAW))
