"""Endpoints of all routes except the hot route (`service.api.recommend_endpoint`).

POST /recommend               recommend to a visitor by the ratings and clicks in the body, without training
GET  /similar/{item}          items of the same users
POST /predict                 predict ratings of user-item pairs, if the model has a predictor
POST /feedback                store feedback; the response is sent once it is on disk
GET  /items/{item}            title, genres and availability of an item
GET  /version                 provenance of the loaded model
GET  /livez, /readyz          liveness and readiness
GET  /metrics                 metrics for Prometheus
GET  /openapi.json, /docs     OpenAPI document, and a page that shows it
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marquee.events import ExposureTemplate, Feedback, encode
from marquee.model.rating_predictor import RatingPredictor
from service.api import request_bodies
from service.api.openapi import build_openapi_document, read_docs_page
from service.api.problem_details import (
    RequestProblem,
    invalid_field_problem,
    missing_predictor_problem,
    not_found_problem,
)
from service.api.query_params import (
    JSON,
    filter_names,
    find_attribute_values,
    find_genre_index,
    parse_n,
    parse_query_string,
    validate_id,
)
from service.api.recommend_endpoint import recommend_with_ratings
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
            _route("/recommend", self.recommend_to_visitor, "POST"),
            _route("/similar/{item:any_text}", self.similar, "GET"),
            _route("/predict", self.predict, "POST"),
            _route("/feedback", self.store_feedback, "POST"),
            _route("/items/{item:any_text}", self.item, "GET"),
            _route("/version", self.describe_model, "GET"),
            _route("/livez", self.livez, "GET"),
            _route("/readyz", self.readyz, "GET"),
            _route("/metrics", self.metrics, "GET"),
            _route("/openapi.json", self.openapi, "GET"),
            _route("/docs", self.docs, "GET"),
        ]

    async def recommend_to_visitor(self, request: Request) -> Response:
        """Recommend items to a visitor without a user id, based on the ratings and clicks in the body."""
        model = self._replica.require_loaded_model()
        body = request_bodies.validate_body(
            request_bodies.VISITOR_REQUEST, await request_bodies.read_json_body(request)
        )
        ratings = {self._validate_rating(model, item, stars): stars for item, stars in body.ratings.items()}
        clicked = {
            _require_item(model, item, f"clicks[{index}]"): model.click_weight
            for index, item in enumerate(body.clicks)
        }
        excluded = (model.fitted_model.inner_item_id(item) for item in body.exclude)
        recommendation_request = RecommendationRequest(
            body.n,
            frozenset(clicked).union(item for item in excluded if item is not None),
            find_genre_index(body.genre, model.fitted_model.genre_affinity.genres),
            _find_attributes(model, body.attributes),
        )
        start = time.perf_counter()  # the time to receive the body does not count against the deadline
        deadline = Deadline.after(self._replica.settings.deadline_ms / 1000, start)
        visitor = UserContext(recent=ratings, clicked=clicked)
        recommendations, predicted = recommend_with_ratings(
            model, visitor, recommendation_request, deadline, adds_ratings=body.predicted_ratings
        )
        self._record_exposure(request, model, recommendations)
        return _json_bytes_response(model.encode_response(None, recommendations, predicted))

    async def similar(self, request: Request) -> Response:
        """Return items of the same users, followed by popular items if there are too few."""
        model = self._replica.require_loaded_model()
        item = _path_item(model, request)
        n = parse_n(parse_query_string(request.scope["query_string"], ("n",)).get("n"))
        arrays = model.fitted_model.arrays
        items = [
            {
                "item": arrays.items[other],
                "title": arrays.titles[other],
                "similarity": None if similarity is None else round(similarity, 4),
            }
            for other, similarity in model.recommender.similar(item, n).items
        ]
        return _json_response({"item": arrays.items[item], "items": items, "model": model.summary})

    async def predict(self, request: Request) -> Response:
        """Predict ratings of user-item pairs."""
        model = self._replica.require_loaded_model()
        body = request_bodies.validate_body(
            request_bodies.PREDICTION_REQUEST, await request_bodies.read_json_body(request)
        )
        predictor = model.fitted_model.predictor
        if predictor is None:
            raise missing_predictor_problem(model.fitted_model.manifest.describe_missing_predictor())
        items_by_user: dict[str, dict[str, int]] = {}
        for index, pair in enumerate(body.pairs):
            item = _require_item(model, pair.item, f"pairs[{index}].item")
            items_by_user.setdefault(pair.user, {})[pair.item] = item
        predictions: dict[tuple[str, str], dict[str, Any]] = {}
        for user, items in items_by_user.items():
            predictions |= self._predict_for_user(model, predictor, user, items)
            await asyncio.sleep(0)  # users with long histories take a millisecond each
        rows = [predictions[pair.user, pair.item] for pair in body.pairs]
        return _json_response({"predictions": rows, "model": model.summary})

    async def store_feedback(self, request: Request) -> Response:
        """Store feedback, and respond once it is on disk."""
        model = self._replica.require_loaded_model()
        bodies = request_bodies.validate_feedback_body(await request_bodies.read_json_body(request))
        events = [self._build_feedback_event(model, index, body) for index, body in enumerate(bodies)]
        stored = await self._store_events(events)
        self._replica.record_activity(stored)
        counts = {"stored": len(stored), "duplicates": len(events) - len(stored)}
        return _json_response(counts, HTTPStatus.ACCEPTED)

    async def item(self, request: Request) -> Response:
        """Return title, genres and availability of an item."""
        model = self._replica.require_loaded_model()
        item = _path_item(model, request)
        is_available = bool(model.recommender.visible_items(time.time()).mask[item])
        return _json_response({**model.describe_item(item), "available": is_available})

    async def describe_model(self, request: Request) -> Response:  # noqa: ARG002  Starlette's signature
        """Return manifest, digest and provenance of the loaded model."""
        return _json_bytes_response(self._replica.require_loaded_model().version_body)

    async def livez(self, request: Request) -> Response:  # noqa: ARG002
        """Liveness check: the event loop responds."""
        return _json_response({"status": "alive"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        """Readiness check: a model is loaded. The response lists problems that do not prevent serving."""
        model = self._replica.require_loaded_model()
        content = {"status": "ready", "model": model.summary, **self._replica.describe_health()}
        return _json_response(content)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        """Return the metrics in Prometheus' text format."""
        return Response(self._replica.metrics.render(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        """Return the OpenAPI document."""
        return _json_response(build_openapi_document())

    async def docs(self, request: Request) -> Response:  # noqa: ARG002
        """Return the HTML page that shows the OpenAPI document."""
        return Response(read_docs_page(), media_type="text/html")

    def _validate_rating(self, model: LoadedModel, item_id: str, stars: float) -> int:
        """Validate the rating of an item by a visitor, and return the inner id of the item."""
        field = f"ratings.{item_id}"
        item = _require_item(model, item_id, field)
        if model.fitted_model.manifest.feedback == "implicit":
            raise invalid_field_problem(
                field, "the model was trained on implicit feedback, without ratings; send the items in clicks"
            )
        _check_scale(model, stars, field)
        return item

    def _predict_for_user(
        self, model: LoadedModel, predictor: RatingPredictor, user: str, items: Mapping[str, int]
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the prediction of each of these items, by user id and item id."""
        context = self._replica.build_user_context(model, user)
        ratings = predictor.predict_items(context.inner_id, list(items.values()), context.ratings)
        return {
            (user, item): {
                "user": user,
                "item": item,
                "rating": round(predictor.global_mean if rating is None else rating, 4),
                "impossible": rating is None,
            }
            for item, rating in zip(items, ratings, strict=True)
        }

    def _build_feedback_event(
        self, model: LoadedModel, index: int, body: request_bodies.FeedbackBody
    ) -> Feedback:
        now = time.time()
        if body.kind == "rating":
            _check_scale(model, body.value, f"[{index}].value")
        if body.time is not None and body.time > now + MAX_CLOCK_SKEW_S:
            raise invalid_field_problem(
                f"[{index}].time", "time must be in UTC seconds and not in the future"
            )
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

    async def _store_events(self, events: list[Feedback]) -> list[Feedback]:
        """Wait until all events are on disk, and return those that are new: the first one of each new id.

        Raises:
            RequestProblem: the events cannot be stored. None is acknowledged, and the client may retry.
        """
        writer = self._replica.event_writer
        if writer is None:
            raise RequestProblem(
                HTTPStatus.SERVICE_UNAVAILABLE, "telemetry is off; feedback cannot be stored"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Collection[str]] = loop.create_future()

        def pass_result(result: Collection[str] | OSError) -> None:  # runs in the writer's thread
            loop.call_soon_threadsafe(_resolve, future, result)

        lines = [encode(event) for event in events]
        writer.queue_feedback(lines, [event.event_id for event in events], pass_result)
        try:
            new_ids = await future
        except OSError as error:
            detail = f"feedback cannot be stored now ({error.strerror or error}); retry later"
            raise RequestProblem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from None
        by_id: dict[str, Feedback] = {}
        for event in events:
            by_id.setdefault(event.event_id, event)
        return [event for event_id, event in by_id.items() if event_id in new_ids]

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
    """Create a route whose requests are counted by path template: metrics must not contain user ids."""

    async def handle(request: Request) -> Response:
        request.scope["state"]["route"] = path.replace(":any_text", "")
        return await handler(request)

    return Route(path, handle, methods=[method])


def _path_item(model: LoadedModel, request: Request) -> int:
    """Return the inner id of the item in the path."""
    item = model.fitted_model.inner_item_id(validate_id(request.path_params["item"], "item"))
    if item is None:
        raise not_found_problem("item", "the catalog has no such item")
    return item


def _find_attributes(model: LoadedModel, fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the attributes that a body requires of the items, and their values."""
    attributes = model.recommender.compiled_rules.attributes
    expected = filter_names(attributes)
    for name in fields:
        if name not in expected:
            known = f"expected one of {', '.join(expected)}" if expected else "the items have no attributes"
            raise invalid_field_problem(f"attributes.{name}", f"unknown attribute ({known})")
    return find_attribute_values(fields, attributes)


def _require_item(model: LoadedModel, item_id: str, field: str) -> int:
    """Return the inner id of an item that a field of the body names."""
    item = model.fitted_model.inner_item_id(item_id)
    if item is None:
        raise invalid_field_problem(field, "the catalog has no such item")
    return item


def _check_scale(model: LoadedModel, stars: float, field: str) -> None:
    """Check that a rating is on the scale; a model of implicit feedback has none and accepts any number."""
    scale = model.fitted_model.manifest.scale
    if scale is None:
        return
    low, high = scale
    if not low <= stars <= high:
        raise invalid_field_problem(field, f"rating must be between {low:g} and {high:g} stars")


def _resolve(future: "asyncio.Future[Collection[str]]", result: Collection[str] | OSError) -> None:
    if future.cancelled():
        return
    if isinstance(result, OSError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _json_response(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return _json_bytes_response(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(), status
    )


def _json_bytes_response(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status, media_type=JSON)
