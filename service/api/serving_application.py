"""The ASGI application of a replica: routes each request to its endpoint."""

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.endpoints import Endpoints
from service.api.problem_details import (
    RequestProblem,
    handle_http_exception,
    handle_not_ready,
    handle_request_problem,
    handle_unexpected_error,
)
from service.api.recommend_endpoint import PATH_PREFIX, ROUTE, RecommendEndpoint
from service.api.response_headers import ResponseHeaders, ResponseHeadersMiddleware
from service.replica import NotReady, Replica

GET_METHODS = ("GET", "HEAD")


class AnyTextConvertor(PathConvertor):
    """Path parameter that matches any text: ids may contain slashes (sent as %2F).

    It matches line breaks too; the validation of ids rejects them.
    """

    regex = "(?s:.*)"


register_url_convertor("any_text", AnyTextConvertor())


class ServingApplication:
    """ASGI application of one replica: the hot route as a bare ASGI app, all other routes in Starlette."""

    def __init__(self, replica: Replica) -> None:
        headers = ResponseHeaders(replica)
        self._recommend = RecommendEndpoint(replica, headers)
        self._other_routes: ASGIApp = ResponseHeadersMiddleware(_build_starlette(replica), replica, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        if (
            scope["type"] == "http"
            and scope["method"] in GET_METHODS
            and scope["path"].startswith(PATH_PREFIX)
        ):
            await self._recommend(scope, receive, send)
        else:
            await self._other_routes(scope, receive, send)


def _build_starlette(replica: Replica) -> Starlette:
    app = Starlette(
        # The hot route is listed only so that other methods get 405 with the allowed methods, instead of 404.
        routes=[
            *Endpoints(replica).routes(),
            Route(ROUTE.replace("}", ":any_text}"), _unreachable, methods=["GET"]),
        ],
        exception_handlers={
            RequestProblem: handle_request_problem,
            NotReady: handle_not_ready,
            HTTPException: handle_http_exception,
            Exception: handle_unexpected_error,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _unreachable(request: Request) -> Response:
    raise AssertionError(f"{request.method} {ROUTE} must be handled by RecommendEndpoint")
