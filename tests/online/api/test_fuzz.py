"""Fuzzing: requests generated from the OpenAPI document, and valid requests with random changes.

Ten thousand requests in total, times the factor in MARQUEE_FUZZ (`make fuzz` sets 10).
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
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp, Message, Scope

from marquee.process_memory import resident_bytes
from tests.support.sample_replica import (
    ITEMS,
    RunningReplica,
    replica_settings,
    running_replica,
    write_sample_model,
)

pytestmark = pytest.mark.slow

FACTOR = int(os.environ.get("MARQUEE_FUZZ", "1"))
N_GENERATED, N_MUTATED = 1000 * FACTOR, 9000 * FACTOR
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
MAX_GROWTH_KB = 60_000  # resident memory of the whole process, including the test itself


@pytest.fixture(scope="module")
def sample_replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReplica]:
    folder = write_sample_model(tmp_path_factory.mktemp("models") / "fitted", scorers="factors", version=7)
    with running_replica(replica_settings(folder)) as replica_and_client:
        yield replica_and_client


def resident_kb() -> int:
    return (resident_bytes() or 0) // 1024


def test_generated_requests_get_documented_responses(sample_replica: RunningReplica) -> None:
    _, client = sample_replica
    api = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    results = list(api.get_all_operations())
    operations = [result.ok() for result in results if isinstance(result, Ok)]
    assert len(operations) == len(results) >= 10
    statuses: Counter[int] = Counter()
    strategies: list[st.SearchStrategy[Case[Any]]] = [
        operation.as_strategy(generation_mode=mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]

    @settings(
        max_examples=N_GENERATED,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(strategies))
    def send_request(case: Case[Any]) -> None:
        statuses[case.call_and_validate(checks=CHECKS).status_code] += 1

    send_request()
    assert {200, 202, 400, 404, 422} <= statuses.keys(), statuses
    assert sum(statuses.values()) >= N_GENERATED


VALID_REQUESTS = [
    ("GET", "/recommend/ann?n=3&exclude=i1,i2&genre=Comedy", None),
    ("GET", "/similar/i0?n=2", None),
    ("GET", "/items/i3", None),
    ("POST", "/recommend", {"ratings": {"i0": 4.5, "i4": 1}, "exclude": ["i1"], "genre": "Drama", "n": 5}),
    ("POST", "/predict", {"pairs": [{"user": "ann", "item": "i0"}]}),
    ("POST", "/feedback", {"event_id": "e", "user": "u", "item": "i0", "kind": "rating", "value": 3}),
    ("POST", "/feedback", [{"event_id": "f", "user": "u", "item": "i1", "kind": "watch", "value": 3.5}]),
]
INSERTED_BYTES = [
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


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, repeat or insert a few bytes."""
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
            data = data[:at] + rng.choice(INSERTED_BYTES) + data[at:]
    return data


def test_mutated_requests_cause_no_errors_and_no_memory_growth(
    sample_replica: RunningReplica,
) -> None:
    replica, client = sample_replica
    rng = random.Random(2026)
    statuses: Counter[int] = Counter()
    resident_kb_before = 0
    for number in range(N_MUTATED):
        if number == N_MUTATED // 10:  # after the warm-up
            resident_kb_before = resident_kb()
        method, path, content = rng.choice(VALID_REQUESTS)
        body = b"" if content is None else json.dumps(content).encode()
        content_type = b"application/json"
        target = rng.randrange(4)
        if target == 0 or not body:
            path = "/" + mutate(path[1:].encode(), rng).decode("latin-1")
        elif target == 1:
            content_type = mutate(content_type, rng)
        else:
            body = mutate(body, rng)
        statuses[asyncio.run(request_status(client.app, method, path, content_type, body))] += 1
    assert not [status for status in statuses if status >= 500], statuses
    assert {200, 202, 400, 404, 415, 422} <= statuses.keys(), statuses
    assert resident_kb() - resident_kb_before < MAX_GROWTH_KB
    assert replica.event_writer is not None
    assert replica.event_writer.snapshot_counters().is_balanced
    assert client.get("/recommend/ann?n=2").json()["items"][0]["item"] in ITEMS


async def request_status(app: ASGIApp, method: str, path: str, content_type: bytes, body: bytes) -> int:
    """Call the ASGI app directly, since an HTTP client would correct some requests; return the status."""
    path, _, query = path.partition("?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "scheme": "http",
        "headers": [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            (b"accept", content_type),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    status: int = messages[0]["status"]
    if status >= 400:
        problem = json.loads(b"".join(message.get("body", b"") for message in messages))
        assert problem["status"] == status
        assert (b"content-type", b"application/problem+json") in messages[0]["headers"]
    return status
