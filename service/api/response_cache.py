"""Answers already given, as they go out: what a user is told changes only when something clears them."""

from dataclasses import dataclass

from marquee.events import ExposureTemplate

Headers = list[tuple[bytes, bytes]]
FOREVER = float("inf")
ANSWERS = 20_000  # kept; about a kilobyte each


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer as it goes out, and the event that says so."""

    body: bytes
    headers: Headers
    rung: str
    event: ExposureTemplate


class Shelf:
    """The answers to plain requests, by user; where it is full, the oldest makes room."""

    def __init__(self, answers: int = ANSWERS) -> None:
        self._answers = answers
        self._ready: dict[str, Ready] = {}
        self.valid_until = FOREVER  # UTC seconds: then an item comes or goes, and every answer is made anew
        self.get = self._ready.get  # the hot path saves a call

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, user: str, ready: Ready, valid_until: float) -> None:
        """Keep an answer until that time, in UTC seconds."""
        if len(self._ready) >= self._answers:
            del self._ready[next(iter(self._ready))]
        self._ready[user] = ready
        self.valid_until = min(self.valid_until, valid_until)

    def drop(self, user: str) -> None:
        """A user did something: the next answer is made anew."""
        self._ready.pop(user, None)

    def clear(self) -> None:
        """Another model, or another catalogue."""
        self._ready.clear()
        self.valid_until = FOREVER
