"""The BentoML service: each worker process starts a replica and passes all requests to its ASGI application.

BentoML's supervisor imports this module too, but only to read the number of workers. Modules that only a
worker needs are imported inside `Worker.start_replica`.
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

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # the Python version that packages the service
# `custom`: add no distribution packages. The default would add 600 MB of compilers to the image, and every
# requirement is available as a wheel.
IMAGE = bentoml.images.Image(base_image=f"python:{PYTHON}-slim-bookworm", distro="custom")

# uvicorn writes no access log if its logger has no handler. With propagation, it would find the handler of a
# parent and create a record for every request, even if the level of that handler drops it.
logging.getLogger("uvicorn.access").propagate = False


class Worker:
    """State of one worker process, set when BentoML creates the service in it."""

    replica: "Replica"
    application: ASGIApp

    @classmethod
    def start_replica(cls) -> None:
        """Start this worker's replica and application; without a valid model, the worker is not ready."""
        from service import logs
        from service.api.serving_application import ServingApplication
        from service.gc_tuning import freeze_loaded_objects
        from service.replica import Replica
        from service.settings import Settings

        settings = Settings.from_environment()
        logs.configure(settings.replica)
        cls.replica = Replica(settings)
        cls.application = ServingApplication(cls.replica)
        if settings.faults is not None:
            from service.api.fault_injection import FaultInjection

            cls.application = FaultInjection(cls.application, cls.replica, settings.faults)
        cls.replica.start()
        freeze_loaded_objects()


@asynccontextmanager
async def replica_lifespan(_: Starlette) -> AsyncIterator[None]:
    """Run the replica for as long as the server runs, on its event loop."""
    async with Worker.replica.lifespan():
        yield


class BentoMLBypass:
    """ASGI middleware that handles all HTTP requests before BentoML; startup and shutdown go to BentoML.

    BentoML's own middleware would halve the throughput, start a timer per request, respond to unknown routes
    in plain text, and serve an index page at `/` that loads third-party scripts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an HTTP request, or pass any other ASGI scope to BentoML."""
        if scope["type"] == "lifespan":
            # BentoML wraps a service's middleware in its own (tracing, timeouts). At startup, that middleware
            # is complete, so another bypass can be wrapped around it.
            outermost = scope["app"]
            outermost.middleware_stack = BentoMLBypass(outermost.middleware_stack)
        app = Worker.application if scope["type"] == "http" else self._bentoml
        await app(scope, receive, send)


# Off: BentoML's metrics (one label value per URL, so one per user), tracing and access log (slow). The app is
# mounted only so that BentoML starts and stops it.
@bentoml.service(
    name="marquee",
    image=IMAGE,
    workers=1,
    metrics={"enabled": False},
    tracing={"excluded_urls": ".*"},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(Starlette(lifespan=replica_lifespan), path="/")
class Marquee:
    """BentoML service of one fitted model."""

    def __init__(self) -> None:
        Worker.start_replica()

    async def __is_ready__(self) -> bool:
        """Readiness check of BentoML itself."""
        return Worker.replica.is_ready


cast("bentoml.Service[Marquee]", Marquee).add_asgi_middleware(BentoMLBypass)  # mypy ignores class decorators
