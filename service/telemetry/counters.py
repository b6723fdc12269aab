"""Event counters: every event offered to the writer is accounted for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KindCounters:
    """Counters of one kind of event; at any time, offered = durable + rejected + dropped + queued."""

    offered: int = 0
    durable: int = 0  # on disk, including repetitions of an event that was already on disk
    rejected: int = 0  # refused, and reported to the client
    dropped: int = 0  # lost; reported by this counter only
    queued: int = 0  # not yet on disk; 0 when the writer is idle

    @property
    def is_balanced(self) -> bool:
        """True if every event offered is accounted for."""
        return self.offered == self.durable + self.rejected + self.dropped + self.queued


@dataclass(frozen=True)
class EventCounters:
    """Counters of exposures and of feedback."""

    exposure: KindCounters
    feedback: KindCounters

    @property
    def is_balanced(self) -> bool:
        """True if every event of both kinds is accounted for."""
        return self.exposure.is_balanced and self.feedback.is_balanced
