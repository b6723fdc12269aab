"""Bounded cache of encoded responses of the hot route.

The response to a user changes only with the model, the item availability or the user's own activity. When
one of them changes, the affected entries are dropped.
"""

import math
from dataclasses import dataclass

from marquee.events import ExposureTemplate

RawHeaders = list[tuple[bytes, bytes]]
MAX_RESPONSES = 20_000  # about a kilobyte each


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """An encoded response, and the exposure to record each time it is sent."""

    body: bytes
    headers: RawHeaders
    fallback_level: str
    event: ExposureTemplate


class ResponseCache:
    """Responses by user id, for requests without parameters. If it is full, the oldest entry is evicted.

    Attributes:
        get: returns the response for a user, or None. It is the dict's own method, to save a function call.
        valid_until: UTC seconds of the next change of availability; no entry is valid after that.
    """

    def __init__(self, max_responses: int = MAX_RESPONSES) -> None:
        self._max_responses = max_responses
        self._responses: dict[str, CachedResponse] = {}
        self.valid_until = math.inf
        self.get = self._responses.get

    def __len__(self) -> int:
        """Number of cached responses."""
        return len(self._responses)

    def put(self, user: str, response: CachedResponse, valid_until: float) -> None:
        """Add a response that is valid until `valid_until` (UTC seconds)."""
        if len(self._responses) >= self._max_responses:
            del self._responses[next(iter(self._responses))]
        self._responses[user] = response
        self.valid_until = min(self.valid_until, valid_until)

    def drop(self, user: str) -> None:
        """Drop the response for a user whose activity has changed."""
        self._responses.pop(user, None)

    def clear(self) -> None:
        """Drop all responses, because the model or the item availability has changed."""
        self._responses.clear()
        self.valid_until = math.inf
