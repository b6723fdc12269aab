"""All routes but the hot one.

POST /recommend          for a visitor who brings ratings: folded in, nothing is trained
GET  /similar/{item}     what the same people rated
POST /predict            ratings of pairs
POST /feedback           what users did: acknowledged once it is on disk
GET  /items/{item}       title and genres
GET  /version            the whole provenance of the loaded model
GET  /livez, /readyz     whether the process turns, and whether requests should come here
GET  /metrics            Prometheus
GET  /openapi.json, /docs
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee.events import ExposureTemplate, Feedback, encode
from service.api import request_models
from service.api.openapi import document, page
from service.api.problem_details import Refused, unknown, wrong
from service.api.query_params import read_genre, read_id, read_n, read_query
from service.api.recommend_endpoint import answered
from service.recommendation.deadline import Deadline
from service.recommendation.loaded_model import Served
from service.recommendation.recommender import Answer, Person, Wish
from service.replica import Replica

Handler = Callable[[Request], Awaitable[Response]]
AHEAD_S = 300.0  # so far may a client's clock be ahead


class Routes:
    """The handlers, over one replica."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def table(self) -> list[Route]:
        """Every route with its handler."""
        return [
            _route("/recommend", self.recommend, "POST"),
            _route("/similar/{item:anything}", self.similar, "GET"),
            _route("/predict", self.predict, "POST"),
            _route("/feedback", self.feedback, "POST"),
            _route("/items/{item:anything}", self.item, "GET"),
            _route("/version", self.version, "GET"),
            _route("/livez", self.livez, "GET"),
            _route("/readyz", self.readyz, "GET"),
            _route("/metrics", self.metrics, "GET"),
            _route("/openapi.json", self.openapi, "GET"),
            _route("/docs", self.docs, "GET"),
        ]

    async def recommend(self, request: Request) -> Response:
        """Recommend to a visitor by the ratings in the body."""
        served = self._replica.serving()
        visitor = request_models.check(request_models.VISITOR, await request_models.read_body(request))
        model = served.model
        rated = {self._rated(served, item, stars): stars for item, stars in visitor.ratings.items()}
        exclude = (model.item_number(item) for item in visitor.exclude)
        genre = read_genre(visitor.genre, model.tastes.genres)
        wish = Wish(visitor.n, frozenset(item for item in exclude if item is not None), genre)
        began = time.perf_counter()  # the body took what time it took
        deadline = Deadline.after(self._replica.settings.deadline_ms / 1000, began)
        answer = answered(served, Person(rated=rated), wish, deadline)
        self._expose(request, served, answer)
        return _json_bytes(served.body(None, answer))

    async def similar(self, request: Request) -> Response:
        """Items that the same people rated."""
        served = self._replica.serving()
        item = _item(served, request)
        n = read_n(read_query(request.scope["query_string"], ("n",)).get("n"))
        answer = served.recommender.similar(item, n)
        items = [
            {**_named(served, other), "similarity": None if value is None else round(value, 4)}
            for other, value in answer.items
        ]
        return _json({"item": served.model.arrays.items[item], "items": items, "model": served.name})

    async def predict(self, request: Request) -> Response:
        """Predicted ratings, in stars, within the scale."""
        served = self._replica.serving()
        asked = request_models.check(request_models.PAIRS, await request_models.read_body(request))
        rows = [self._predicted(served, number, pair) for number, pair in enumerate(asked.pairs)]
        return _json({"predictions": rows, "model": served.name})

    async def feedback(self, request: Request) -> Response:
        """Keep what users did; answer when it is on disk."""
        served = self._replica.serving()
        tree = await request_models.read_body(request)
        given = (
            request_models.check(request_models.FEEDBACK_BATCH, tree)
            if isinstance(tree, list)
            else [_one(tree)]
        )
        events = [self._event(served, number, body) for number, body in enumerate(given)]
        if self._replica.writer is None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "telemetry is off: feedback cannot be kept")
        stored = await self._stored(events)
        self._replica.note(events)
        counts = {"stored": stored, "duplicates": len(events) - stored}
        return _json(counts, HTTPStatus.ACCEPTED)

    async def item(self, request: Request) -> Response:
        """What is known of an item."""
        served = self._replica.serving()
        item = _item(served, request)
        shown = bool(served.recommender.shown(time.time()).mask[item])
        return _json({**served.described(item), "available": shown})

    async def version(self, request: Request) -> Response:  # noqa: ARG002  Starlette's signature
        """What is loaded, and where it comes from."""
        return _json_bytes(self._replica.serving().version)

    async def livez(self, request: Request) -> Response:  # noqa: ARG002
        """The process turns."""
        return _json({"status": "alive"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        """Whether requests should come here, and what is wrong even if they should."""
        served = self._replica.serving()
        return _json({"status": "ready", "model": served.name, **self._replica.condition()})

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        """Counts and times."""
        return Response(self._replica.observed.page(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        """The description of all of this."""
        return _json(document())

    async def docs(self, request: Request) -> Response:  # noqa: ARG002
        """The same as a page."""
        return Response(page(), media_type="text/html")

    def _rated(self, served: Served, item: str, stars: float) -> int:
        """The number of an item that a visitor rated, within the scale."""
        number, field = served.model.item_number(item), f"ratings.{item}"
        if number is None:
            raise wrong(field, "the catalogue has no such item")
        _in_scale(served, stars, field)
        return number

    def _predicted(self, served: Served, number: int, pair: request_models.Pair) -> dict[str, Any]:
        model = served.model
        item = model.item_number(pair.item)
        if item is None:
            raise wrong(f"pairs[{number}].item", "the catalogue has no such item")
        rating, possible = served.recommender.predict(self._replica.person(served, pair.user), item)
        return {"user": pair.user, "item": pair.item, "rating": round(rating, 4), "impossible": not possible}

    def _event(self, served: Served, number: int, body: request_models.FeedbackBody) -> Feedback:
        now, place = time.time(), f"[{number}]"
        if body.kind == "rating":
            _in_scale(served, body.value, f"{place}.value")
        if body.time is not None and body.time > now + AHEAD_S:
            raise wrong(f"{place}.time", "time is UTC seconds, and not in the future")
        at = now if body.time is None else body.time
        return Feedback(
            body.event_id,
            at,
            body.user,
            body.item,
            body.kind,
            body.value,
            body.request_id,
            arm=self._replica.settings.arm,
            model=served.label,
        )

    async def _stored(self, events: list[Feedback]) -> int:
        """How many of the events were new, once all of them are on disk.

        Raises:
            Refused: they could not be written; nothing was acknowledged, and the client may ask again.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def done(result: int | OSError) -> None:  # on the writer's thread
            loop.call_soon_threadsafe(_settle, future, result)

        assert self._replica.writer is not None
        lines = [encode(event) for event in events]
        self._replica.writer.store(lines, [event.event_id for event in events], done)
        try:
            return await future
        except OSError as error:
            detail = f"feedback cannot be kept now ({error.strerror or error}): send it again later"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail) from None

    def _expose(self, request: Request, served: Served, answer: Answer) -> None:
        state = request.scope["state"]
        arm = self._replica.settings.arm
        event = ExposureTemplate(None, arm, served.label, answer.rung, tuple(served.ids(answer)))
        seconds = time.perf_counter() - state["began"]
        self._replica.expose(event, state["request_id"].encode(), answer.rung, seconds)


def _route(path: str, handler: Handler, method: str) -> Route:
    """A route that notes its own template, for the metrics: a path would name a user."""

    async def noted(request: Request) -> Response:
        request.scope["state"]["route"] = path.replace(":anything", "")
        return await handler(request)

    return Route(path, noted, methods=[method])


def _item(served: Served, request: Request) -> int:
    number = served.model.item_number(read_id(request.path_params["item"], "item"))
    if number is None:
        raise unknown("item", "the catalogue has no such item")
    return number


def _named(served: Served, item: int) -> dict[str, Any]:
    arrays = served.model.arrays
    return {"item": arrays.items[item], "title": arrays.titles[item]}


def _in_scale(served: Served, stars: float, field: str) -> None:
    low, high = served.model.manifest.scale
    if not low <= stars <= high:
        raise wrong(field, f"a rating is from {low:g} to {high:g} stars")


def _one(tree: Any) -> request_models.FeedbackBody:
    return request_models.check(request_models.FEEDBACK, tree)


def _settle(future: "asyncio.Future[int]", result: int | OSError) -> None:
    if future.cancelled():
        return
    if isinstance(result, OSError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _json(tree: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return _json_bytes(json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode(), status)


def _json_bytes(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status, media_type="application/json")
