"""Answers to requests that cannot be met: problem documents of RFC 9457, naming the field."""

import json
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class BadRequest(Exception):
    """A field of the request has a value that cannot be used."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


def problem(status: HTTPStatus, detail: str, **members: str) -> Response:
    """A problem document. Its `type` is about:blank: the status says what kind it is."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **members,
    }
    return Response(json.dumps(body, ensure_ascii=False), status.value, media_type=MEDIA_TYPE)


async def on_bad_request(request: Request, error: Exception) -> Response:  # noqa: ARG001  Starlette's signature
    """Name the field and say what it takes."""
    assert isinstance(error, BadRequest)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.detail, field=error.field)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Unknown route, wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    response = problem(status, f"{request.method} {request.url.path}: {status.phrase.lower()}")
    response.headers.update(error.headers or {})
    return response
