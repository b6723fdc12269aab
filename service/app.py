"""The BentoML service, thin: it starts a replica and gives every request to its site."""

import logging
import sys
from typing import cast

import bentoml
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from service import logs
from service.replica import Replica
from service.settings import Settings
from service.web.site import Site, running

# `custom`: no package of the distribution is added. The default would put 600 MB of compilers into
# the image, and every requirement is there as a wheel.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # the one that it was packaged with
IMAGE = bentoml.images.Image(base_image=f"python:{PYTHON}-slim-bookworm", distro="custom")

# uvicorn writes no access log where nobody listens; a handler above it is enough to cost every request
# the formatting of a line, even one that its level then drops.
logging.getLogger("uvicorn.access").propagate = False

settings = Settings.from_environment()
replica = Replica(settings)
site = Site(replica)
mounted = Starlette(lifespan=lambda _: running(replica))


class Shortcut:
    """Stands before BentoML and answers everything.

    BentoML's own layers would cost half of the throughput, answer unknown routes in plain text, and
    give `/` to an index page that loads a third party's scripts into the visitor's browser.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what is no request (start and stop) is BentoML's."""
        await (site if scope["type"] == "http" else self._bentoml)(scope, receive, send)


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
@bentoml.asgi_app(mounted, path="/")
class Marquee:
    """Serves one fitted model."""

    def __init__(self) -> None:
        logs.configure(settings.replica)
        replica.start()

    async def __is_ready__(self) -> bool:
        """What BentoML itself asks."""
        return replica.ready


cast("bentoml.Service[Marquee]", Marquee).add_asgi_middleware(Shortcut)  # mypy overlooks class decorators
