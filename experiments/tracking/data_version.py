"""Version of the data that a run was trained on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataVersion:
    """Name, digest and path of the raw data; the digest is the one in dvc.lock."""

    source: str
    digest: str
    path: str
