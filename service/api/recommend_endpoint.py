"""GET /recommend/{user}, the hot route: it receives far more requests than all other routes together.

It is a bare ASGI callable in front of a cache of encoded responses (`service.api.response_cache`).
"""

import time
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from marquee.events import ExposureTemplate
from service.api.problem_details import (
    RequestProblem,
    invalid_field_problem,
    logged_error_problem,
    missing_predictor_problem,
    not_ready_problem,
)
from service.api.query_params import (
    JSON,
    QUERY_FIELDS,
    TEXT,
    filter_names,
    find_attribute_values,
    find_genre_index,
    parse_excluded_ids,
    parse_n,
    parse_query_string,
    parse_switch,
    prefers_plain_text,
    validate_id,
)
from service.api.response_cache import CachedResponse
from service.api.response_headers import ResponseHeaders
from service.recommendation.deadline import Deadline
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import RecommendationRequest, Recommendations, UserContext
from service.replica import NotReady, Replica

PATH_PREFIX = "/recommend/"
ROUTE = "/recommend/{user}"
PredictedRatings = Sequence[float | None]  # in stars; None where a prediction is impossible
CACHEABLE_ACCEPT = (None, b"*/*", JSON.encode())


class RecommendEndpoint:
    """The hot route of one replica, as an ASGI app."""

    def __init__(self, replica: Replica, headers: ResponseHeaders) -> None:
        self._replica = replica
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a GET request below `/recommend/`."""
        start = time.perf_counter()
        accept = client_request_id = None
        for name, value in scope["headers"]:
            if name == b"accept":
                accept = value
            elif name == b"x-request-id":
                client_request_id = value
        request_id = self._headers.choose_request_id(client_request_id)
        encoded_id = request_id.encode()
        try:
            response = self._respond(scope, accept, start)
        except Exception as error:
            problem_response = self._headers.problem_response(_to_problem(error), request_id)
            seconds = time.perf_counter() - start
            self._replica.metrics.record_request(ROUTE, problem_response.status_code, seconds)
            await problem_response(scope, receive, send)
            return
        headers = [*response.headers, (b"x-request-id", encoded_id)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})
        seconds = time.perf_counter() - start
        self._replica.metrics.record_request(ROUTE, 200, seconds)
        self._replica.record_exposure(response.event, encoded_id, response.fallback_level, seconds)

    def _respond(self, scope: Scope, accept: bytes | None, start: float) -> CachedResponse:
        """Return the cached response, or compute it, and cache it if it may be reused."""
        replica = self._replica
        cache = replica.response_cache
        model = replica.require_loaded_model()
        user, query = scope["path"][len(PATH_PREFIX) :], scope["query_string"]
        is_cacheable = not query and accept in CACHEABLE_ACCEPT
        if time.time() >= cache.valid_until:
            cache.clear()
        elif is_cacheable and (cached := cache.get(user)) is not None:
            return cached
        recommendations, ratings = self._recommend(model, user, query, start)
        response = self._encode(model, user, recommendations, ratings, accept)
        if replica.shown_items is not None:
            replica.shown_items.record(user, model.item_ids(recommendations), time.time())
        elif is_cacheable and recommendations.is_repeatable:
            cache.put(user, response, model.recommender.next_availability_change)
        return response

    def _recommend(
        self, model: LoadedModel, user: str, query: bytes, start: float
    ) -> tuple[Recommendations, PredictedRatings | None]:
        """Validate the request, and compute its recommendations and, if it asks for them, their ratings."""
        validate_id(user, "user")
        attributes = model.recommender.compiled_rules.attributes
        fields = parse_query_string(query, (*QUERY_FIELDS, *filter_names(attributes)))
        excluded = (
            model.fitted_model.inner_item_id(item) for item in parse_excluded_ids(fields.get("exclude"))
        )
        request = RecommendationRequest(
            parse_n(fields.get("n")),
            frozenset(item for item in excluded if item is not None),
            find_genre_index(fields.get("genre"), model.fitted_model.genre_affinity.genres),
            find_attribute_values(fields, attributes),
        )
        deadline = Deadline.after(self._replica.settings.deadline_ms / 1000, start)
        adds_ratings = parse_switch(fields.get("predicted_ratings"), "predicted_ratings")
        context = self._replica.build_user_context(model, user)
        return recommend_with_ratings(model, context, request, deadline, adds_ratings=adds_ratings)

    def _encode(
        self,
        model: LoadedModel,
        user: str,
        recommendations: Recommendations,
        ratings: PredictedRatings | None,
        accept: bytes | None,
    ) -> CachedResponse:
        item_ids = model.item_ids(recommendations)
        level = recommendations.fallback_level
        if prefers_plain_text("" if accept is None else accept.decode("latin-1")):
            body, content_type = ",".join(item_ids).encode(), f"{TEXT}; charset=utf-8"
        else:
            body, content_type = model.encode_response(user, recommendations, ratings), JSON
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            *self._headers.model_headers(model),
        ]
        event = ExposureTemplate(user, self._replica.settings.arm, model.version, level, tuple(item_ids))
        return CachedResponse(body, headers, level, event)


def recommend_with_ratings(
    model: LoadedModel,
    user: UserContext,
    request: RecommendationRequest,
    deadline: Deadline,
    *,
    adds_ratings: bool,
) -> tuple[Recommendations, PredictedRatings | None]:
    """Recommend at least one item, and predict the ratings of the items if `adds_ratings` is True.

    Raises:
        RequestProblem: every item is unavailable, was rated by the user, or is excluded by the request; or
            the model predicts no ratings.
    """
    fitted = model.fitted_model
    if adds_ratings and fitted.predictor is None:
        raise missing_predictor_problem(fitted.manifest.describe_missing_predictor())
    recommendations = model.recommender.recommend(user, request, deadline)
    if not recommendations.items:
        raise invalid_field_problem(
            "exclude" if request.exclude else "user",
            "no item is left to recommend: all available items are rated or excluded",
        )
    return recommendations, model.predict_ratings(user, recommendations) if adds_ratings else None


def _to_problem(error: Exception) -> RequestProblem:
    if isinstance(error, RequestProblem):
        return error
    return not_ready_problem(error) if isinstance(error, NotReady) else logged_error_problem(error)
