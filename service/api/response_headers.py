"""What every answer carries: the request's id, the arm of the rollout, the version of the model."""

import itertools
import os
import time

from starlette.datastructures import Headers as HeaderView
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs
from service.api.problem_details import Refused
from service.api.query_params import REQUEST_ID
from service.api.response_cache import Headers
from service.recommendation.loaded_model import Served
from service.replica import Replica


class Envelope:
    """Writes it, over one replica."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count()
        self._arm = (b"x-arm", replica.settings.arm.encode())

    def request_id(self, given: bytes | None) -> str:
        """The client's, where it is one; else made."""
        if given is not None:
            text = given.decode("latin-1")
            if REQUEST_ID.fullmatch(text):
                return text
        return f"{self._prefix}-{next(self._numbers):x}"

    def stamp(self, served: Served | None) -> Headers:
        """The headers that say who answers."""
        version = [] if served is None else [(b"x-model-version", served.label.encode())]
        return [self._arm, *version, (b"x-content-type-options", b"nosniff")]

    def refuse(self, refused: Refused, route: str, request_id: str, began: float) -> ASGIApp:
        """The answer to a request that cannot be met."""
        response = refused.response()
        response.headers["x-request-id"] = request_id
        response.raw_headers.extend(self.stamp(self._replica.served))
        self._replica.observed.request(route, response.status_code, time.perf_counter() - began)
        return response


class Enveloped:
    """Wraps an app whose routes are not hot: adds the headers, counts the request."""

    def __init__(self, app: ASGIApp, replica: Replica, envelope: Envelope) -> None:
        self._app = app
        self._replica = replica
        self._envelope = envelope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        given = HeaderView(scope=scope).get("x-request-id")
        request_id = self._envelope.request_id(None if given is None else given.encode("latin-1"))
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "began": began}
        logs.request_id.set(request_id)
        status = 0  # nothing was answered yet

        async def send_more(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                stamp = self._envelope.stamp(self._replica.served)
                extra = [(b"x-request-id", request_id.encode()), *stamp]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        try:
            await self._app(scope, receive, send_more)
        except Exception:
            if not status:
                raise
            # Starlette raises a fault again after its handler has answered and logged it: once is enough.
        finally:
            route = scope["state"].get("route", "other")
            self._replica.observed.request(route, status or 500, time.perf_counter() - began)
