"""What the writer is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TelemetrySettings:
    """Where events go, and in what portions."""

    folder: Path  # of all replicas; this one's is below it
    replica: str
    queue: int = 65_536  # exposures that wait at most; what comes then is dropped, and counted
    waiting: int = 10_000  # feedback that waits at most; what comes then is refused
    sync_every_s: float = 0.5  # exposures; feedback is synced at once, in groups of those that wait
    max_bytes: int = 64 << 20  # of a segment
    max_age_s: float = 300.0  # of a segment
    recent: int = 100_000  # event ids remembered, to know a repetition
