"""Headers of every response: the request id, the arm of the rollout and the model version."""

import itertools
import os
import time

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs
from service.api.problem_details import RequestProblem
from service.api.query_params import REQUEST_ID
from service.api.response_cache import RawHeaders
from service.recommendation.loaded_model import LoadedModel
from service.replica import Replica


class ResponseHeaders:
    """Creates the headers that all responses of a replica contain."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._request_id_prefix = os.urandom(6).hex()
        self._request_numbers = itertools.count()
        self._arm = (b"x-arm", replica.settings.arm.encode())

    def choose_request_id(self, client_request_id: bytes | None) -> str:
        """Return the request id sent by the client if it is valid, or else a new one."""
        if client_request_id is not None:
            text = client_request_id.decode("latin-1")
            if REQUEST_ID.fullmatch(text):
                return text
        return f"{self._request_id_prefix}-{next(self._request_numbers):x}"

    def model_headers(self, model: LoadedModel | None) -> RawHeaders:
        """Return the headers that identify the arm and the model, and one that forbids content sniffing."""
        version = [] if model is None else [(b"x-model-version", model.version.encode())]
        return [self._arm, *version, (b"x-content-type-options", b"nosniff")]

    def problem_response(self, problem: RequestProblem, request_id: str) -> Response:
        """Return the response to a request that cannot be fulfilled, with these headers."""
        response = problem.to_response()
        response.headers["x-request-id"] = request_id
        response.raw_headers.extend(self.model_headers(self._replica.loaded_model))
        return response


class ResponseHeadersMiddleware:
    """ASGI middleware that adds `ResponseHeaders` to the responses of an app and counts its requests."""

    def __init__(self, app: ASGIApp, replica: Replica, headers: ResponseHeaders) -> None:
        self._app = app
        self._replica = replica
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app, and add the headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        sent_id = Headers(scope=scope).get("x-request-id")
        request_id = self._headers.choose_request_id(None if sent_id is None else sent_id.encode("latin-1"))
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "start": start}
        logs.request_id.set(request_id)
        status = 0  # no response has started yet

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                model_headers = self._headers.model_headers(self._replica.loaded_model)
                added = [(b"x-request-id", request_id.encode()), *model_headers]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            if not status:
                raise
            # The error is already logged and the response sent: Starlette raises it again after both.
        finally:
            route = scope["state"].get("route", "other")
            self._replica.metrics.record_request(route, status or 500, time.perf_counter() - start)
