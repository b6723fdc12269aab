"""Answers to requests that cannot be met: problem documents of RFC 9457, naming the field."""

import json
import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

log = logging.getLogger("marquee.web")
MEDIA_TYPE = "application/problem+json"


class Refused(Exception):
    """A request that cannot be met, and why."""

    def __init__(self, status: HTTPStatus, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field

    def response(self) -> Response:
        """The problem document."""
        return problem(self.status, self.detail, **({} if self.field is None else {"field": self.field}))


def wrong(field: str, detail: str) -> Refused:
    """A field of the request has a value that cannot be used."""
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field)


def unknown(field: str, detail: str) -> Refused:
    """What the path names is not there."""
    return Refused(HTTPStatus.NOT_FOUND, detail, field)


def malformed(detail: str, field: str = "body") -> Refused:
    """The request cannot be read."""
    return Refused(HTTPStatus.BAD_REQUEST, detail, field)


def not_ready(reason: Exception) -> Refused:
    """No model is loaded."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {reason}")


def fault(error: Exception) -> Refused:
    """A fault of ours: one log line with its traceback, and no word of it to the client."""
    log.error("a request failed", exc_info=error)
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the server has a fault; it was logged")


def problem(status: HTTPStatus, detail: str, **members: str) -> Response:
    """A problem document. Its `type` is about:blank: the status says what kind it is."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **members,
    }
    return Response(json.dumps(body), status.value, media_type=MEDIA_TYPE)


async def on_refused(request: Request, error: Exception) -> Response:  # noqa: ARG001  Starlette's signature
    """Name the field and say what it takes."""
    assert isinstance(error, Refused)
    return error.response()


async def on_not_ready(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Say why nothing can be answered."""
    return not_ready(error).response()


async def on_fault(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Say that it is not the client's fault."""
    return fault(error).response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """Unknown route, wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    response = problem(status, f"{request.method} {request.scope['path']}: {status.phrase.lower()}")
    response.headers.update(error.headers or {})
    return response
