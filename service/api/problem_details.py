"""Problem documents (RFC 9457): the response to every request that cannot be fulfilled."""

import json
import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

log = logging.getLogger("marquee.api")
PROBLEM_TYPE = "application/problem+json"


class RequestProblem(Exception):
    """A request cannot be fulfilled.

    Attributes:
        status: status of the response.
        detail: what is wrong and what is expected.
        field: the invalid field, or None if the problem is not about a field.
    """

    def __init__(self, status: HTTPStatus, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field

    def to_response(self) -> Response:
        """Return a response that contains the problem document."""
        members = {} if self.field is None else {"field": self.field}
        return problem_response(self.status, self.detail, **members)


def invalid_field_problem(field: str, detail: str) -> RequestProblem:
    """Return the problem for a field with an invalid value (422)."""
    return RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field)


def missing_predictor_problem(reason: str) -> RequestProblem:
    """Return the problem for a model that predicts no ratings (409); `reason` is a clause."""
    return RequestProblem(HTTPStatus.CONFLICT, f"the model predicts no ratings: {reason}")


def not_found_problem(field: str, detail: str) -> RequestProblem:
    """Return the problem for a path that contains an unknown id (404)."""
    return RequestProblem(HTTPStatus.NOT_FOUND, detail, field)


def malformed_request_problem(detail: str, field: str = "body") -> RequestProblem:
    """Return the problem for a request that cannot be parsed (400)."""
    return RequestProblem(HTTPStatus.BAD_REQUEST, detail, field)


def not_ready_problem(reason: Exception) -> RequestProblem:
    """Return the problem for a replica without a model (503)."""
    return RequestProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {reason}")


def logged_error_problem(error: Exception) -> RequestProblem:
    """Log an unexpected error with its traceback, and return a problem that does not reveal it (500)."""
    log.error("request failed", exc_info=error)
    return RequestProblem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal server error; the error was logged")


def problem_response(status: HTTPStatus, detail: str, **members: str) -> Response:
    """Return a problem document. Its type is `about:blank`: the status alone identifies the problem."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **members,
    }
    return Response(json.dumps(document), status.value, media_type=PROBLEM_TYPE)


async def handle_request_problem(request: Request, error: Exception) -> Response:  # noqa: ARG001  Starlette's signature
    """Respond to a request that cannot be fulfilled."""
    assert isinstance(error, RequestProblem)
    return error.to_response()


async def handle_not_ready(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Respond to a request that needs a model while none is loaded."""
    return not_ready_problem(error).to_response()


async def handle_unexpected_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Respond to a request whose endpoint raised an unexpected error."""
    return logged_error_problem(error).to_response()


async def handle_http_exception(request: Request, error: Exception) -> Response:
    """Respond to a request with an unknown route or a wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    response = problem_response(status, f"{request.method} {request.scope['path']}: {status.phrase.lower()}")
    response.headers.update(error.headers or {})
    return response
