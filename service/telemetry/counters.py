"""The books: what became of every event that was offered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kept:
    """One kind's account: offered = durable + rejected + dropped + queued, at every moment."""

    offered: int = 0
    durable: int = 0  # on disk; a repetition of what is on disk counts here as well
    rejected: int = 0  # refused, and the client was told
    dropped: int = 0  # lost, and nobody was told: counted here
    queued: int = 0  # on their way; none at rest

    @property
    def balanced(self) -> bool:
        """Whether nothing is unaccounted for."""
        return self.offered == self.durable + self.rejected + self.dropped + self.queued


@dataclass(frozen=True)
class Books:
    """Both kinds."""

    exposure: Kept
    feedback: Kept

    @property
    def balanced(self) -> bool:
        """Whether both accounts are."""
        return self.exposure.balanced and self.feedback.balanced
