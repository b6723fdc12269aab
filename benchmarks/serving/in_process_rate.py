"""Throughput of the ASGI application, called in process without an HTTP server."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from starlette.types import Message, Scope

from service.api.serving_application import ServingApplication
from service.gc_tuning import freeze_loaded_objects
from service.replica import Replica
from service.settings import Settings


def measure_in_process_rate(model: Path, users: Sequence[str]) -> float:
    """Return the responses per second with telemetry on, after a first request for each user."""
    events = model.parent / "in-process"
    settings = Settings.from_environment({"MARQUEE_MODEL": str(model), "MARQUEE_EVENTS": str(events)})
    replica = Replica(settings)
    replica.start()
    freeze_loaded_objects()
    try:
        return asyncio.run(_measure_rate(ServingApplication(replica), users))
    finally:
        replica.close()


async def _measure_rate(app: ServingApplication, users: Sequence[str]) -> float:
    scopes: list[Scope] = [
        {"type": "http", "method": "GET", "path": f"/recommend/{user}", "query_string": b"", "headers": []}
        for user in users
    ]
    for scope in scopes:
        await app(scope, _receive, _send)
    start = time.perf_counter()
    for scope in scopes:
        await app(scope, _receive, _send)
    return len(scopes) / (time.perf_counter() - start)


async def _receive() -> Message:
    return {"type": "http.request"}


async def _send(message: Message) -> None:
    """Discard a message."""
