"""Telemetry: record exposures and feedback on disk without delaying responses.

offer_exposure ──► queue ──┐                      ┌─► <replica>/exposure-*.jsonl ─┐
                           ├─► writer thread ─────┤                               ├─► Parquet
store_feedback ──► queue ──┘   one sync per batch └─► <replica>/feedback-*.jsonl ─┘   (event_archive.py, run by
                                                                                      another process)
"""

from service.telemetry.counters import EventCounters, KindCounters
from service.telemetry.tail import EventTail, read_until_error
from service.telemetry.writer import EventWriter, TelemetrySettings

__all__ = [
    "EventCounters",
    "EventTail",
    "EventWriter",
    "KindCounters",
    "TelemetrySettings",
    "read_until_error",
]
