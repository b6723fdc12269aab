"""Events: encoding, decoding, validation and deduplication."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.errors import EventError
from marquee.events import Event, Exposure, ExposureTemplate, Feedback, decode, deduplicate, encode

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
FIELDS = json.loads(encode(Feedback("e1", 1.5, "ann", "i1", "rating", 4.5)))  # of a valid event


@given(EXPOSURES | FEEDBACK)
def test_decoded_event_equals_encoded_event(event: Event) -> None:
    line = encode(event)
    assert b"\n" not in line
    assert decode(line) == event


@given(EXPOSURES)
def test_template_renders_an_exposure_that_decodes_to_its_fields(event: Exposure) -> None:
    template = ExposureTemplate(event.user, event.arm, event.model, event.fallback_level, event.items)
    rendered = decode(template.render(b"r-1.2_3", event.time, event.latency_us))
    assert isinstance(rendered, Exposure)
    assert rendered.time == pytest.approx(event.time, abs=1e-6)
    assert rendered == replace(event, request_id="r-1.2_3", time=rendered.time)


def test_encoded_line_is_compact_json() -> None:
    line = encode(Feedback("e1", 1.5, "zoë", "i1", "rating", 4.5))
    assert line.decode() == (
        '{"schema":2,"type":"feedback","event_id":"e1","time":1.5,"user":"zoë","item":"i1",'
        '"kind":"rating","value":4.5,"request_id":null,"arm":"stable","model":""}'
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 3}, "schema version must be 1 or 2"),
        ({"schema": None}, "schema version must be 1 or 2"),
        ({"schema": []}, "schema version must be 1 or 2"),
        ({"type": "purchase"}, "type must be exposure or feedback"),
        ({"type": None}, "type must be"),
        ({"type": []}, "type must be"),
        ({"kind": "like"}, "kind"),
        ({"value": "4.5"}, "value"),
        ({"value": True}, "value"),
        ({"time": None}, "time"),
        ({"time": 10**400}, "time"),
        ({"time": float("nan")}, "time"),
        ({"user": None}, "user"),
        ({"item": 7}, "item"),
        ({"more": 1}, "more"),
    ],
)
def test_invalid_field_is_rejected_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EventError, match=message):
        decode(json.dumps({**FIELDS, **changes}))


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "null", "1", '{"schema":2}', b"\xff", pytest.param("[" * 100_000, id="nested")]
)
def test_line_that_is_not_an_event_is_rejected(line: str | bytes) -> None:
    with pytest.raises(EventError):
        decode(line)


def test_schema_version_1_is_still_decoded() -> None:
    exposure = (
        '{"schema":1,"type":"exposure","request_id":"r1","time":1.5,"user":"ann","arm":"stable","model":"7",'
        '"rung":"personal","items":["i1","i2"],"latency_us":41}'
    )
    assert decode(exposure) == Exposure("r1", 1.5, "ann", "stable", "7", "personal", ("i1", "i2"), 41)
    assert decode(json.dumps({**FIELDS, "schema": 1})) == decode(json.dumps(FIELDS))


def test_field_name_of_version_1_is_rejected_in_version_2() -> None:
    exposure = json.loads(encode(Exposure("r1", 1.5, "ann", "stable", "7", "personal", ("i1",), 41)))
    exposure["rung"] = exposure.pop("fallback_level")
    with pytest.raises(EventError, match="fallback_level, rung"):
        decode(json.dumps(exposure))


def test_missing_field_is_rejected_by_name() -> None:
    with pytest.raises(EventError, match="item"):
        decode(json.dumps({name: value for name, value in FIELDS.items() if name != "item"}))


def test_deduplicate_keeps_first_event_of_each_type_and_id() -> None:
    click = Feedback("e1", 1.0, "a", "i", "click", 1.0)
    repeated = Feedback("e1", 2.0, "b", "j", "click", 1.0)
    exposure = Exposure("e1", 1.0, "a", "s", "1", "personal", (), 1)
    assert list(deduplicate([click, repeated, exposure, exposure])) == [click, exposure]
