"""The site: which app answers a request."""

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.endpoints import Routes
from service.api.problem_details import Refused, on_fault, on_http_error, on_not_ready, on_refused
from service.api.recommend_endpoint import PREFIX, ROUTE, Hot
from service.api.response_headers import Envelope, Enveloped
from service.replica import NotReady, Replica


class Anything(PathConvertor):
    """The rest of the path: a slash in an id is one (sent as %2F), a line break is for us to refuse."""

    regex = "(?s:.*)"


register_url_convertor("anything", Anything())


class Site:
    """An ASGI app over one replica: the hot route answered bare, all others by Starlette."""

    def __init__(self, replica: Replica) -> None:
        envelope = Envelope(replica)
        self._hot = Hot(replica, envelope)
        self._others: ASGIApp = Enveloped(_app(replica), replica, envelope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the one that answers it."""
        if scope["type"] == "http" and scope["method"] in _READS and scope["path"].startswith(PREFIX):
            await self._hot(scope, receive, send)
        else:
            await self._others(scope, receive, send)


_READS = ("GET", "HEAD")


def _app(replica: Replica) -> Starlette:
    app = Starlette(
        # The hot route is here for the other methods, which are answered with those that it has.
        routes=[*Routes(replica).table(), Route(ROUTE.replace("}", ":anything}"), _never, methods=["GET"])],
        exception_handlers={
            Refused: on_refused,
            NotReady: on_not_ready,
            HTTPException: on_http_error,
            Exception: on_fault,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _never(request: Request) -> Response:
    raise AssertionError(f"{request.method} is answered by the hot route")
