"""Events: one line each, read back as they were, and anything else refused by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import EventError
from marquee.events import Exposure, ExposureTemplate, Feedback, decode, encode, once

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
TIMES = st.floats(0, 4e9)
EXPOSURES = st.builds(
    Exposure, TEXT, TIMES, st.none() | TEXT, TEXT, TEXT, TEXT, st.lists(TEXT).map(tuple),
    st.integers(0, 10**9),
)  # fmt: skip
FEEDBACK = st.builds(
    Feedback, TEXT, TIMES, TEXT, TEXT, st.sampled_from(["rating", "watch", "click"]), st.floats(0, 1e6),
    st.none() | TEXT,
)  # fmt: skip


@given(EXPOSURES | FEEDBACK)
def test_what_is_encoded_is_decoded(event: Exposure | Feedback) -> None:
    line = encode(event)
    assert b"\n" not in line
    assert decode(line) == event


@given(EXPOSURES)
def test_a_template_gives_what_encoding_gives(event: Exposure) -> None:
    template = ExposureTemplate(event.user, event.arm, event.model, event.rung, event.items)
    written = decode(template.line(b"r-1.2_3", event.time, event.latency_us))
    assert isinstance(written, Exposure)
    assert written.time == pytest.approx(event.time, abs=1e-6)
    same = Exposure(
        "r-1.2_3", written.time, event.user, event.arm, event.model, event.rung, event.items, event.latency_us
    )
    assert written == same


def test_a_line_reads_as_it_is_documented() -> None:
    line = encode(Feedback("e1", 1.5, "zoë", "i1", "rating", 4.5))
    assert line.decode() == (
        '{"schema":1,"type":"feedback","event_id":"e1","time":1.5,"user":"zoë","item":"i1",'
        '"kind":"rating","value":4.5,"request_id":null,"arm":"stable","model":""}'
    )


WHOLE = json.loads(encode(Feedback("e1", 1.5, "ann", "i1", "rating", 4.5)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": 2}, "schema 1"),
        ({"type": "purchase"}, "neither exposure nor feedback"),
        ({"type": None}, "neither"),
        ({"kind": "like"}, "kind"),
        ({"value": "4.5"}, "value"),
        ({"value": True}, "value"),
        ({"time": None}, "time"),
        ({"user": None}, "user"),
        ({"item": 7}, "item"),
        ({"more": 1}, "more"),
    ],
)
def test_another_shape_is_refused_by_name(changes: dict[str, object], told: str) -> None:
    with pytest.raises(EventError, match=told):
        decode(json.dumps({**WHOLE, **changes}))


@pytest.mark.parametrize("line", ["", "{", "[]", "null", "1", '{"schema":1}', b"\xff"])
def test_what_is_no_event_is_refused(line: str | bytes) -> None:
    with pytest.raises(EventError):
        decode(line)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(EventError, match="item"):
        decode(json.dumps({key: value for key, value in WHOLE.items() if key != "item"}))


def test_an_event_counts_once() -> None:
    first, again = Feedback("e1", 1.0, "a", "i", "click", 1.0), Feedback("e1", 2.0, "b", "j", "click", 1.0)
    shown = Exposure("e1", 1.0, "a", "s", "1", "personal", (), 1)  # another kind may have the same id
    assert list(once([first, again, shown, shown])) == [first, shown]
