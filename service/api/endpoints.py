"""All routes except the hot one.

POST /recommend               recommend to a visitor by ratings in the body; nothing is trained
GET  /similar/{item}          items rated by the same users
POST /predict                 predict ratings of user-item pairs
POST /feedback                store feedback; the response is sent once it is on disk
GET  /items/{item}            title, genres and availability of an item
GET  /version                 provenance of the loaded model
GET  /livez, /readyz          liveness and readiness
GET  /metrics                 metrics for Prometheus
GET  /openapi.json, /docs     description of the API
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
from service.api.openapi import docs_page, openapi_document
from service.api.problem_details import RequestProblem, invalid_field, not_found
from service.api.query_params import read_genre, read_n, read_query, validate_id
from service.api.recommend_endpoint import recommend_or_raise
from service.recommendation.deadline import Deadline
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import RecommendationRequest, Recommendations, UserContext
from service.replica import Replica

Handler = Callable[[Request], Awaitable[Response]]
MAX_CLOCK_SKEW_S = 300.0  # how far the time of a feedback event may be in the future


class Endpoints:
    """Request handlers of one replica."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def routes(self) -> list[Route]:
        """Return all routes with their handlers."""
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
        """Recommend items to a visitor by the ratings in the body."""
        model = self._replica.current_model()
        body = request_models.validate(
            request_models.VISITOR_REQUEST, await request_models.read_body(request)
        )
        ratings = {self._rated_item(model, item, stars): stars for item, stars in body.ratings.items()}
        excluded = (model.fitted_model.inner_item_id(item) for item in body.exclude)
        recommendation_request = RecommendationRequest(
            body.n,
            frozenset(item for item in excluded if item is not None),
            read_genre(body.genre, model.fitted_model.genre_affinity.genres),
        )
        start = time.perf_counter()  # the time to receive the body does not count
        deadline = Deadline.after(self._replica.settings.deadline_ms / 1000, start)
        visitor = UserContext(recent=ratings)
        recommendations = recommend_or_raise(model, visitor, recommendation_request, deadline)
        self._record_exposure(request, model, recommendations)
        return _json_bytes(model.encode_response(None, recommendations))

    async def similar(self, request: Request) -> Response:
        """Return items rated by the same users."""
        model = self._replica.current_model()
        item = _path_item(model, request)
        n = read_n(read_query(request.scope["query_string"], ("n",)).get("n"))
        arrays = model.fitted_model.arrays
        items = [
            {
                "item": arrays.items[other],
                "title": arrays.titles[other],
                "similarity": None if similarity is None else round(similarity, 4),
            }
            for other, similarity in model.recommender.similar(item, n).items
        ]
        return _json({"item": arrays.items[item], "items": items, "model": model.summary})

    async def predict(self, request: Request) -> Response:
        """Predict ratings of user-item pairs."""
        model = self._replica.current_model()
        body = request_models.validate(
            request_models.PREDICTION_REQUEST, await request_models.read_body(request)
        )
        predictions = [self._predict(model, index, pair) for index, pair in enumerate(body.pairs)]
        return _json({"predictions": predictions, "model": model.summary})

    async def feedback(self, request: Request) -> Response:
        """Store feedback, and respond once it is on disk."""
        model = self._replica.current_model()
        bodies = request_models.validate_feedback(await request_models.read_body(request))
        events = [self._feedback_event(model, index, body) for index, body in enumerate(bodies)]
        n_stored = await self._store(events)
        self._replica.record_activity(events)
        counts = {"stored": n_stored, "duplicates": len(events) - n_stored}
        return _json(counts, HTTPStatus.ACCEPTED)

    async def item(self, request: Request) -> Response:
        """Describe an item."""
        model = self._replica.current_model()
        item = _path_item(model, request)
        is_available = bool(model.recommender.visible_items(time.time()).mask[item])
        return _json({**model.describe_item(item), "available": is_available})

    async def version(self, request: Request) -> Response:  # noqa: ARG002  Starlette's signature
        """Return the provenance of the loaded model."""
        return _json_bytes(self._replica.current_model().version_body)

    async def livez(self, request: Request) -> Response:  # noqa: ARG002
        """Liveness check: the event loop responds."""
        return _json({"status": "alive"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        """Readiness check: a model is loaded. The response lists problems that do not prevent serving."""
        model = self._replica.current_model()
        return _json({"status": "ready", "model": model.summary, **self._replica.health()})

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        """Return the metrics in Prometheus' text format."""
        return Response(self._replica.metrics.render(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        """Return the OpenAPI document."""
        return _json(openapi_document())

    async def docs(self, request: Request) -> Response:  # noqa: ARG002
        """Return the page that shows the OpenAPI document."""
        return Response(docs_page(), media_type="text/html")

    def _rated_item(self, model: LoadedModel, item_id: str, stars: float) -> int:
        """Return the inner id of an item that a visitor rated, after checking the rating."""
        item, field = model.fitted_model.inner_item_id(item_id), f"ratings.{item_id}"
        if item is None:
            raise invalid_field(field, "the catalog has no such item")
        _check_scale(model, stars, field)
        return item

    def _predict(self, model: LoadedModel, index: int, pair: request_models.UserItemPair) -> dict[str, Any]:
        item = model.fitted_model.inner_item_id(pair.item)
        if item is None:
            raise invalid_field(f"pairs[{index}].item", "the catalog has no such item")
        prediction = model.recommender.predict(self._replica.user_context(model, pair.user), item)
        return {
            "user": pair.user,
            "item": pair.item,
            "rating": round(prediction.rating, 4),
            "impossible": prediction.was_impossible,
        }

    def _feedback_event(self, model: LoadedModel, index: int, body: request_models.FeedbackBody) -> Feedback:
        now = time.time()
        if body.kind == "rating":
            _check_scale(model, body.value, f"[{index}].value")
        if body.time is not None and body.time > now + MAX_CLOCK_SKEW_S:
            raise invalid_field(f"[{index}].time", "time must be in UTC seconds and not in the future")
        return Feedback(
            body.event_id,
            now if body.time is None else body.time,
            body.user,
            body.item,
            body.kind,
            body.value,
            body.request_id,
            arm=self._replica.settings.arm,
            model=model.version,
        )

    async def _store(self, events: list[Feedback]) -> int:
        """Wait until all events are on disk, and return how many of them were new.

        Raises:
            RequestProblem: the events cannot be stored; none is acknowledged, and the client may retry.
        """
        writer = self._replica.event_writer
        if writer is None:
            raise RequestProblem(
                HTTPStatus.SERVICE_UNAVAILABLE, "telemetry is off; feedback cannot be stored"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def done(result: int | OSError) -> None:  # called by the writer's thread
            loop.call_soon_threadsafe(_resolve, future, result)

        lines = [encode(event) for event in events]
        writer.store_feedback(lines, [event.event_id for event in events], done)
        try:
            return await future
        except OSError as error:
            detail = f"feedback cannot be stored now ({error.strerror or error}); retry later"
            raise RequestProblem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from None

    def _record_exposure(
        self, request: Request, model: LoadedModel, recommendations: Recommendations
    ) -> None:
        state, arm = request.scope["state"], self._replica.settings.arm
        level = recommendations.fallback_level
        item_ids = tuple(model.item_ids(recommendations))
        event = ExposureTemplate(None, arm, model.version, level, item_ids)
        seconds = time.perf_counter() - state["start"]
        self._replica.record_exposure(event, state["request_id"].encode(), level, seconds)


def _route(path: str, handler: Handler, method: str) -> Route:
    """Create a route that stores its path template for the metrics, which must not contain user ids."""

    async def handle(request: Request) -> Response:
        request.scope["state"]["route"] = path.replace(":anything", "")
        return await handler(request)

    return Route(path, handle, methods=[method])


def _path_item(model: LoadedModel, request: Request) -> int:
    """Return the inner id of the item in the path."""
    item = model.fitted_model.inner_item_id(validate_id(request.path_params["item"], "item"))
    if item is None:
        raise not_found("item", "the catalog has no such item")
    return item


def _check_scale(model: LoadedModel, stars: float, field: str) -> None:
    low, high = model.fitted_model.manifest.scale
    if not low <= stars <= high:
        raise invalid_field(field, f"rating must be between {low:g} and {high:g} stars")


def _resolve(future: "asyncio.Future[int]", result: int | OSError) -> None:
    if future.cancelled():
        return
    if isinstance(result, OSError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return _json_bytes(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(), status)


def _json_bytes(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status, media_type="application/json")
