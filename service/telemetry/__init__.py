"""Telemetry: events on their way to disk, never in the way of an answer.

offer(line) ──► queue ──┐                          ┌─► <replica>/exposure-*.jsonl
                        ├─► the writer's thread ───┤                               ──► sealed into Parquet
store(lines, done) ─────┘   groups, one sync each  └─► <replica>/feedback-*.jsonl      (a process of its own)
               ◄── done(how many were new, or why not)
"""

from service.telemetry.counters import Books, Kept
from service.telemetry.settings import TelemetrySettings
from service.telemetry.tail import Follower, readable
from service.telemetry.writer import EventWriter

__all__ = ["Books", "EventWriter", "Follower", "Kept", "TelemetrySettings", "readable"]
