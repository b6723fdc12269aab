"""The site without a server around it: what an answer costs by itself."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from starlette.types import Message, Scope

from service.api.asgi import Site
from service.replica import Replica
from service.settings import Settings


def in_process_rate(folder: Path, users: Sequence[str]) -> float:
    """Answers a second, telemetry on, called as a server calls it, each user once before."""
    events = folder.parent / "in-process"
    settings = Settings.from_environment({"MARQUEE_MODEL": str(folder), "MARQUEE_EVENTS": str(events)})
    replica = Replica(settings)
    replica.start()
    try:
        return asyncio.run(_asked(Site(replica), users))
    finally:
        replica.close()


async def _asked(site: Site, users: Sequence[str]) -> float:
    scopes: list[Scope] = [
        {"type": "http", "method": "GET", "path": f"/recommend/{user}", "query_string": b"", "headers": []}
        for user in users
    ]
    for scope in scopes:
        await site(scope, _receive, _send)
    began = time.perf_counter()
    for scope in scopes:
        await site(scope, _receive, _send)
    return len(scopes) / (time.perf_counter() - began)


async def _receive() -> Message:
    return {"type": "http.request"}


async def _send(message: Message) -> None:
    """Nobody listens."""
