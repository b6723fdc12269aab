"""Bare Starlette app with a constant response: an upper bound for the throughput of a server in Python."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = b"x" * int(os.environ.get("CONSTANT_BYTES", "1000"))


async def constant(request: Request) -> Response:  # noqa: ARG001  Starlette's signature
    """Return the same body to every user."""
    return Response(BODY, media_type="application/json")


app = Starlette(routes=[Route("/recommend/{user}", constant)])
