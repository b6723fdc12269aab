"""The BentoML service, thin: in a worker it starts a replica and gives every request to its site.

The supervisor imports this module too, to learn how many workers it should start: what only a worker needs
is imported there.
"""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import bentoml
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from service.replica import Replica

# `custom`: no package of the distribution is added. The default would put 600 MB of compilers into
# the image, and every requirement is there as a wheel.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # the one that it was packaged with
IMAGE = bentoml.images.Image(base_image=f"python:{PYTHON}-slim-bookworm", distro="custom")

# uvicorn writes no access log where nobody listens; a handler above it is enough to cost every request
# the formatting of a line, even one that its level then drops.
logging.getLogger("uvicorn.access").propagate = False


class Worker:
    """What one worker process has: made when BentoML makes the service in it."""

    replica: "Replica"
    site: ASGIApp

    @classmethod
    def start(cls) -> None:
        """Load the model; a replica that cannot is up, and unready."""
        from service import logs
        from service.api.asgi import Site
        from service.replica import Replica
        from service.settings import Settings

        settings = Settings.from_environment()
        logs.configure(settings.replica)
        cls.replica = Replica(settings)
        cls.site = Site(cls.replica)
        if settings.faults is not None:
            from service.api.fault_injection import FaultInjection

            cls.site = FaultInjection(cls.site, cls.replica, settings.faults)
        cls.replica.start()


@asynccontextmanager
async def running(_: Starlette) -> AsyncIterator[None]:
    """The replica on the loop that serves, until it ends."""
    async with Worker.replica.running():
        yield


class Shortcut:
    """Answers every request before BentoML sees it; what is no request (start and stop) is BentoML's.

    BentoML's own layers would cost half of the throughput and a timer a request, answer unknown routes in
    plain text, and give `/` to an index page that loads a third party's scripts into the visitor's browser.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        if scope["type"] == "lifespan":
            # BentoML puts the middleware of a service inside of its own (tracing, time-outs): at the start,
            # which all of them let through, this steps before them.
            outermost = scope["app"]
            outermost.middleware_stack = Shortcut(outermost.middleware_stack)
        await (Worker.site if scope["type"] == "http" else self._bentoml)(scope, receive, send)


# BentoML's own metrics label every URL (a label a user), its tracing and access log slow all down:
# off. The app is mounted for BentoML to start and stop it; requests take the shortcut.
@bentoml.service(
    name="marquee",
    image=IMAGE,
    workers=1,
    metrics={"enabled": False},
    tracing={"excluded_urls": ".*"},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(Starlette(lifespan=running), path="/")
class Marquee:
    """Serves one fitted model."""

    def __init__(self) -> None:
        Worker.start()

    async def __is_ready__(self) -> bool:
        """What BentoML itself asks."""
        return Worker.replica.ready


cast("bentoml.Service[Marquee]", Marquee).add_asgi_middleware(Shortcut)  # mypy overlooks class decorators
