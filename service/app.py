"""The BentoML service, thin: HTTP in, the recommender's answer out.

GET /recommend/{user}?n=10    JSON, or comma-separated item ids for `Accept: text/plain`
GET /version                  the whole provenance of the loaded model
GET /livez, /readyz           BentoML's; ready means that the model is loaded and checked

What cannot be answered gets a problem document (`service.problems`).
"""

import gc
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import bentoml
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from marquee.errors import ModelError
from marquee.manifest import MANIFEST
from marquee.model import load_model
from service.problems import BadRequest, on_bad_request, on_http_error
from service.recommender import Recommender

log = logging.getLogger("marquee.service")

DEFAULT_N, MOST = 10, 100
LONGEST_ID = 256  # bytes of a user id
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")  # the rule of ingestion: what may be rated may be asked for
HEALTH = {"/livez", "/readyz", "/healthz"}  # what BentoML answers
CODE = Path(__file__).parents[1]
PROVENANCE = "provenance.json"


def model_folder() -> Path:
    """MARQUEE_MODEL where set; else the model in this Bento; else the one the pipeline exported."""
    if chosen := os.environ.get("MARQUEE_MODEL"):
        return Path(chosen)
    packaged = CODE / "model"
    return packaged if packaged.exists() else CODE / "models" / "fitted"


# `custom`: no package of the distribution is added. The default would put 600 MB of compilers into
# the image, and every requirement is there as a wheel.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # the one that it was packaged with
IMAGE = bentoml.images.Image(base_image=f"python:{PYTHON}-slim-bookworm", distro="custom")


@dataclass(frozen=True)
class Served:
    """What the routes share, made once when the model is loaded."""

    recommender: Recommender
    model: Mapping[str, Any]  # name, version and digest, part of every answer
    version: bytes  # the body of /version


async def recommend(request: Request) -> Response:
    """Recommend items to a user."""
    served = _served(request)
    user = _user(request.path_params["user"])
    answer = served.recommender.recommend(user, _count(request.query_params.get("n")))
    if _wants_text(request.headers.get("accept", "")):
        return PlainTextResponse(",".join(chosen.item for chosen in answer.items))
    return _json({**asdict(answer), "model": served.model})


async def version(request: Request) -> Response:
    """What is loaded, and where it comes from."""
    return Response(_served(request).version, media_type="application/json")


def _served(request: Request) -> Served:
    served: Served | None = request.app.state.served
    if served is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE)
    return served


def _user(user: str) -> str:
    if not user:
        raise BadRequest("user", "a user id is not empty")
    if len(user.encode()) > LONGEST_ID:
        raise BadRequest("user", f"a user id has at most {LONGEST_ID} bytes")
    if CONTROLS.search(user):
        raise BadRequest("user", "a user id has no control characters")
    return user


def _count(text: str | None) -> int:
    """The query's n: plain ASCII digits, from 1 to the most."""
    if text is None:
        return DEFAULT_N
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST):
        raise BadRequest("n", f"n is a whole number from 1 to {MOST}")
    return int(text)


def _wants_text(accept: str) -> bool:
    """Whether plain text is asked for before JSON."""
    for kind in accept.split(","):
        media = kind.partition(";")[0].strip().lower()
        if media in {"text/plain", "application/json", "*/*"}:
            return media == "text/plain"
    return False


def _json(tree: Any) -> Response:
    return Response(json.dumps(tree, ensure_ascii=False), media_type="application/json")


class Anything(PathConvertor):
    """The rest of the path: a slash in a user id is one (sent as %2F), a line break is for us to refuse."""

    regex = "(?s:.*)"


register_url_convertor("anything", Anything())
app = Starlette(
    routes=[Route("/recommend/{user:anything}", recommend), Route("/version", version)],
    exception_handlers={BadRequest: on_bad_request, HTTPException: on_http_error},
)
app.router.redirect_slashes = False
app.state.served = None


class Shortcut:
    """Stands before BentoML and answers all but the health checks, known route or not, from our app.

    BentoML's own layers would cost half of the throughput, answer unknown routes in plain text, and
    give `/` to an index page that loads a third party's scripts into the visitor's browser.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the one that answers it."""
        ours = scope["type"] == "http" and scope["path"] not in HEALTH
        await (app if ours else self._bentoml)(scope, receive, send)


def load(folder: Path) -> Served:
    """Load a model for the routes, checked file by file.

    Raises:
        ModelError: the model is missing, foreign or damaged.
    """
    model = load_model(folder)
    provenance = _provenance(folder / PROVENANCE)
    if provenance.get("model_digest", model.digest) != model.digest:
        raise ModelError(f"{folder / MANIFEST} is not the one that was packaged: package the model again")
    named = {
        "name": provenance.get("name"),
        "version": provenance.get("version"),
        "digest": model.digest[:12],
    }
    whole = {**asdict(model.manifest), "digest": model.digest, "provenance": provenance}
    return Served(Recommender(model), named, json.dumps(whole, ensure_ascii=False).encode())


def _provenance(stamped: Path) -> dict[str, Any]:
    """What packaging stamped beside the model: nothing, where it was not packaged."""
    try:
        provenance = json.loads(stamped.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{stamped} cannot be read ({error}): package the model again") from None
    if not isinstance(provenance, dict):
        raise ModelError(f"{stamped} is no JSON object: package the model again")
    return provenance


def _settle() -> None:
    """Keep the garbage collector off what was just loaded: its passes are the peaks in latency."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


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
@bentoml.asgi_app(app, path="/")
class Marquee:
    """Serves one fitted model."""

    def __init__(self) -> None:
        try:
            app.state.served = load(model_folder())
        except ModelError as error:
            # Staying up unready lets the health check say so, where an exit would only be restarted.
            log.error("not ready: %s", error)  # noqa: TRY400  one line, no traceback
        else:
            _settle()

    async def __is_ready__(self) -> bool:
        """What /readyz answers."""
        return app.state.served is not None


cast("bentoml.Service[Marquee]", Marquee).add_asgi_middleware(Shortcut)  # mypy overlooks class decorators
