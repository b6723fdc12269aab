"""Telemetry events: exposures and feedback, with a versioned schema.

    exposure    a list of items was recommended to a user
    feedback    a user rated, watched or clicked an item

An event is one line of JSON. Replicas append events to segment files (`service.telemetry`), which are later
archived as Parquet. Times are UTC seconds.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from marquee.errors import EventError

SCHEMA_VERSION = 2  # `decode` also reads version 1, in which `fallback_level` was called `rung`
FeedbackKind: TypeAlias = Literal["rating", "watch", "click"]
FEEDBACK_KINDS: tuple[FeedbackKind, ...] = get_args(FeedbackKind)
MAX_QUOTED_CHARACTERS = 40  # of an invalid value, in an error message


@dataclass(frozen=True)
class Exposure:
    """A list of items was recommended."""

    request_id: str
    time: float
    user: str | None  # None: an anonymous visitor, who sent ratings but no id
    arm: str  # arm of the replica that responded
    model: str  # model version
    fallback_level: str  # the lowest level of the fallback chain that contributed an item
    items: tuple[str, ...]  # best first
    latency_us: int  # microseconds from the first byte of the request to the response


@dataclass(frozen=True)
class Feedback:
    """A user rated, watched or clicked an item."""

    event_id: str  # set by the client; events with equal ids are one event
    time: float
    user: str
    item: str
    kind: FeedbackKind
    value: float  # stars of a rating, minutes of a watch, 1 for a click
    request_id: str | None = None  # request id of the exposure that led to the feedback
    arm: str = "stable"  # arm of the replica that received the event
    model: str = ""  # model version of that replica


Event: TypeAlias = Exposure | Feedback

_TYPES: Mapping[str, type[Event]] = {"exposure": Exposure, "feedback": Feedback}
_TYPE_NAMES: Mapping[type[Event], str] = {event_type: name for name, event_type in _TYPES.items()}
_NUMBER_FIELDS = ("time", "value", "latency_us")
_OPTIONAL_FIELDS: Mapping[type[Event], tuple[str, ...]] = {Exposure: ("user",), Feedback: ("request_id",)}
_RENAMED_FIELDS = {"rung": "fallback_level"}  # since schema version 1


def encode(event: Event) -> bytes:
    """Return an event as a line of JSON, without the line break."""
    tree = {"schema": SCHEMA_VERSION, "type": _TYPE_NAMES[type(event)], **vars(event)}
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def decode(line: bytes | str) -> Event:
    """Return the event encoded in a line.

    Raises:
        EventError: the line is not JSON, has an unknown schema version or type, or has an invalid field.

    >>> decode(encode(Feedback("e1", 1.5, "ann", "i1", "rating", 4.5))).item
    'i1'
    """
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):
        raise EventError("line is not valid JSON") from None
    schema = tree.pop("schema", None) if isinstance(tree, dict) else None
    if schema not in (1, SCHEMA_VERSION):
        raise EventError(f"schema version must be 1 or {SCHEMA_VERSION} (got {_quote(schema)})")
    type_name = tree.pop("type", None)
    if type_name not in tuple(_TYPES):  # not `in _TYPES`: the value may be unhashable
        raise EventError(f"type must be exposure or feedback (got {_quote(type_name)})")
    event_type = _TYPES[type_name]
    if schema == 1:
        tree = rename_old_fields(tree)
    _check_fields(event_type, tree)
    if event_type is Exposure:
        tree["items"] = tuple(tree["items"])
    return event_type(**tree)


def rename_old_fields(fields_by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event, with names of schema version 1 replaced by the current ones."""
    return {_RENAMED_FIELDS.get(name, name): value for name, value in fields_by_name.items()}


def deduplicate(events: Iterable[Event]) -> Iterator[Event]:
    """Yield each event once: clients may resend feedback, and a segment file may be archived twice."""
    seen: set[tuple[type[Event], str]] = set()
    for event in events:
        key = (type(event), event.event_id if isinstance(event, Feedback) else event.request_id)
        if key not in seen:
            seen.add(key)
            yield event


class ExposureTemplate:
    """Template for exposures that differ only in request id, time and latency; the rest is encoded once."""

    _HEAD = b'{"schema":%d,"type":"exposure","request_id":"' % SCHEMA_VERSION
    _TIME = b'","time":0.0'
    _TAIL = b',"latency_us":0}'

    def __init__(
        self, user: str | None, arm: str, model: str, fallback_level: str, items: tuple[str, ...]
    ) -> None:
        line = encode(Exposure("", 0.0, user, arm, model, fallback_level, items, 0))
        constant = line[len(self._HEAD) + len(self._TIME) : -len(self._TAIL)].replace(b"%", b"%%")
        self._format = b'%b%%b","time":%%.6f%b,"latency_us":%%d}' % (self._HEAD, constant)

    def render(self, request_id: bytes, time: float, latency_us: float) -> bytes:
        """Return an exposure as a line of JSON, like `encode`. The request id must not need JSON escapes."""
        return self._format % (request_id, time, latency_us)


def _check_fields(event_type: type[Event], values: Mapping[str, Any]) -> None:
    """Raise an EventError if a field is missing, unknown or invalid."""
    known = {field.name for field in fields(event_type)}
    if different := sorted(known ^ set(values)):
        raise EventError(f"missing or unknown fields: {', '.join(different)}")
    for name, value in values.items():
        if not _is_valid(name, value, optional=name in _OPTIONAL_FIELDS[event_type]):
            raise EventError(f"{name} has an invalid value: {_quote(value)}")


def _is_valid(name: str, value: object, *, optional: bool) -> bool:
    if name in _NUMBER_FIELDS:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max
        )
    if name == "items":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name == "kind":
        return value in FEEDBACK_KINDS
    return isinstance(value, str) or (optional and value is None)


def _quote(value: object) -> str:
    return json.dumps(value)[:MAX_QUOTED_CHARACTERS]
