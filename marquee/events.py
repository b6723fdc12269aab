"""The record that telemetry writes and everybody reads: what was shown, and what came of it.

    exposure   a list of items was recommended
    feedback   a user rated, watched or clicked an item

One event is one line of JSON with a schema version; lines are appended to files (`service.telemetry`), and
sealed into Parquet later. Times are UTC seconds.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from marquee.errors import EventError

SCHEMA = 1
Kind = Literal["rating", "watch", "click"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Exposure:
    """Items were recommended."""

    request_id: str
    time: float
    user: str | None  # None: a visitor who gave ratings instead of an id
    arm: str  # of a rollout
    model: str  # version of the model
    rung: str  # of the fallback ladder
    items: tuple[str, ...]  # best first
    latency_us: int  # from the request's first byte to the answer, in microseconds


@dataclass(frozen=True)
class Feedback:
    """A user did something with an item."""

    event_id: str  # the client's: the same id again is the same event
    time: float
    user: str
    item: str
    kind: Kind
    value: float  # stars of a rating, minutes watched, 1 of a click
    request_id: str | None = None  # of the exposure that led to it
    arm: str = "stable"  # of a rollout, and version of the model: those of the replica that took it
    model: str = ""


Event = Exposure | Feedback
_TYPES: Mapping[str, type[Event]] = {"exposure": Exposure, "feedback": Feedback}
_NAMES: Mapping[type[Event], str] = {kind: name for name, kind in _TYPES.items()}


def encode(event: Event) -> bytes:
    """An event as one line of JSON, without its line break."""
    tree = {"schema": SCHEMA, "type": _NAMES[type(event)], **asdict(event)}
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def decode(line: bytes | str) -> Event:
    """The event of a line.

    Raises:
        EventError: the line is torn, of another schema, or lacks a field.
    """
    try:
        tree = json.loads(line)
    except ValueError:
        raise EventError("no whole line of JSON") from None
    if not isinstance(tree, dict) or tree.pop("schema", None) != SCHEMA:
        raise EventError(f"not of schema {SCHEMA}")
    kind = _TYPES.get(tree.pop("type", None))
    if kind is None:
        raise EventError("neither exposure nor feedback")
    if problem := _problem(kind, tree):
        raise EventError(problem)
    if kind is Exposure:
        tree["items"] = tuple(tree["items"])
    return kind(**tree)


class ExposureTemplate:
    """The exposures of one answer, encoded once: each time it is given, only three fields are new."""

    def __init__(self, user: str | None, arm: str, model: str, rung: str, items: tuple[str, ...]) -> None:
        whole = encode(Exposure("", 0.0, user, arm, model, rung, items, 0))
        between = whole[len(_HEAD) + len(_NEW) : -len(_LAST)].replace(b"%", b"%%")
        self._line = b'%b%%b","time":%%.6f%b,"latency_us":%%d}' % (_HEAD, between)

    def line(self, request_id: bytes, time: float, latency_us: float) -> bytes:
        """What `encode` gives for the answer at this time; the request id must need no escaping."""
        return self._line % (request_id, time, latency_us)


_HEAD = b'{"schema":%d,"type":"exposure","request_id":"' % SCHEMA
_NEW = b'","time":0.0'
_LAST = b',"latency_us":0}'


def _problem(kind: type[Event], tree: Mapping[str, Any]) -> str | None:
    """What is wrong with the fields of an event, if anything."""
    known = {field.name for field in fields(kind)}
    if different := sorted(known ^ set(tree)):
        return f"lacks or adds {', '.join(different)}"
    for name, value in tree.items():
        if not _fits(name, value, optional=name in _OPTIONAL[kind]):
            return f"{name} cannot be {json.dumps(value)[:40]}"
    return None


def _fits(name: str, value: object, *, optional: bool) -> bool:
    """Whether a field may have a value."""
    if name in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if name == "items":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if name == "kind":
        return value in KINDS
    return isinstance(value, str) or (optional and value is None)


_NUMBERS = ("time", "value", "latency_us")
_OPTIONAL: Mapping[type[Event], tuple[str, ...]] = {Exposure: ("user",), Feedback: ("request_id",)}


def once(events: Iterable[Event]) -> Iterator[Event]:
    """Each event the first time it comes: what was sent again, or sealed twice, counts once."""
    seen: set[tuple[type[Event], str]] = set()
    for event in events:
        key = (type(event), event.event_id if isinstance(event, Feedback) else event.request_id)
        if key not in seen:
            seen.add(key)
            yield event
