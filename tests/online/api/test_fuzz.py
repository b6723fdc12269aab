"""Requests that nobody thought of: made up from the API's description, and bytes changed at random.

Ten thousand in all; MARQUEE_FUZZ is how many times that (`make fuzz`: ten).
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from marquee.process_memory import resident_bytes
from service.replica import Replica
from tests.support.catalogues import ITEMS, open_shop, settings_of, write_shop

TIMES = int(os.environ.get("MARQUEE_FUZZ", "1"))
MADE_UP, BYTES = 1000 * TIMES, 9000 * TIMES
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
GROWTH_KB = 60_000  # of the whole process, the tests' own part included


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replica, TestClient]]:
    folder = write_shop(tmp_path_factory.mktemp("models") / "fitted", factors=True, version=7)
    with open_shop(settings_of(folder)) as opened:
        yield opened


def resident_kb() -> int:
    return (resident_bytes() or 0) // 1024


def test_what_the_description_allows_and_forbids_gets_what_it_promises(
    shop: tuple[Replica, TestClient],
) -> None:
    _, client = shop
    api = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [result.ok() for result in api.get_all_operations()]
    assert len(operations) >= 10
    statuses: Counter[int] = Counter()
    strategy = st.one_of(
        operation.as_strategy(generation_mode=mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    )

    @settings(
        max_examples=MADE_UP,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def ask(case: Any) -> None:
        statuses[case.call_and_validate(checks=CHECKS).status_code] += 1

    ask()
    assert {200, 202, 400, 404, 422} <= statuses.keys(), statuses
    assert sum(statuses.values()) >= MADE_UP


REQUEST_LINES = [
    ("GET", "/recommend/ann?n=3&exclude=i1,i2&genre=Comedy", None),
    ("GET", "/similar/i0?n=2", None),
    ("GET", "/items/i3", None),
    ("POST", "/recommend", {"ratings": {"i0": 4.5, "i4": 1}, "exclude": ["i1"], "genre": "Drama", "n": 5}),
    ("POST", "/predict", {"pairs": [{"user": "ann", "item": "i0"}]}),
    ("POST", "/feedback", {"event_id": "e", "user": "u", "item": "i0", "kind": "rating", "value": 3}),
    ("POST", "/feedback", [{"event_id": "f", "user": "u", "item": "i1", "kind": "watch", "value": 3.5}]),
]
PIECES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"%",
    b"%00",
    b"\r\n",
    b'"',
    b"{",
    b"]",
    b"NaN",
    b"1e999",
    b"-",
    b"\xf0\x9f",
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, removed, doubled or put in."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + rng.randint(1, 8) :]
        elif kind == 2:
            data = data[:at] + data[at : at + rng.randint(1, 40)] * rng.randint(2, 20) + data[at:]
        else:
            data = data[:at] + rng.choice(PIECES) + data[at:]
    return data


def test_bytes_changed_at_random_never_get_a_fault_and_leave_memory_flat(
    shop: tuple[Replica, TestClient],
) -> None:
    replica, client = shop
    rng = random.Random(2026)
    statuses: Counter[int] = Counter()
    before = 0
    for number in range(BYTES):
        if number == BYTES // 10:
            before = resident_kb()
        method, path, tree = rng.choice(REQUEST_LINES)
        body = b"" if tree is None else json.dumps(tree).encode()
        kind = b"application/json"
        which = rng.randrange(4)
        if which == 0 or not body:
            path = "/" + mutated(path[1:].encode(), rng).decode("latin-1")
        elif which == 1:
            kind = mutated(kind, rng)
        else:
            body = mutated(body, rng)
        statuses[asyncio.run(ask(client.app, method, path, kind, body))] += 1
    assert not [status for status in statuses if status >= 500], statuses
    assert {200, 202, 400, 404, 415, 422} <= statuses.keys(), statuses
    assert resident_kb() - before < GROWTH_KB
    assert replica.writer is not None
    assert replica.writer.books().balanced
    assert client.get("/recommend/ann?n=2").json()["items"][0]["item"] in ITEMS


async def ask(app: Any, method: str, path: str, kind: bytes, body: bytes) -> int:
    """The status of the answer, asked as a server asks: no client is between that would mend the request."""
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": unquote(target),
        "raw_path": target.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"accept", kind)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    status: int = sent[0]["status"]
    if status >= 400:
        problem = json.loads(b"".join(message.get("body", b"") for message in sent))
        assert problem["status"] == status
        assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    return status
