"""`DataVersion`, the version of the data that a run was trained on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataVersion:
    """Source, digest and path of the raw data; the digest is that in dvc.lock."""

    source: str
    digest: str
    path: str
