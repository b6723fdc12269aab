"""Telemetry: record exposures and feedback on disk without delaying responses.

offer_exposure ──► queue ──┐                      ┌─► <replica>/exposure-*.jsonl ─┐
                           ├─► writer thread ─────┤                               ├─► Parquet
queue_feedback ──► queue ──┘   one sync per batch └─► <replica>/feedback-*.jsonl ─┘

`parquet_archive.py` writes the Parquet files, in another process.
"""

from service.telemetry.counters import EventCounters, KindCounters
from service.telemetry.tail import EventTail, yield_until_os_error
from service.telemetry.writer import EventWriter, TelemetrySettings

__all__ = [
    "EventCounters",
    "EventTail",
    "EventWriter",
    "KindCounters",
    "TelemetrySettings",
    "yield_until_os_error",
]
