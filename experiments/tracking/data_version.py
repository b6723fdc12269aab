"""Which data a run saw."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataVersion:
    """The source's name and the digest that dvc.lock has of it."""

    source: str
    digest: str
    path: str
