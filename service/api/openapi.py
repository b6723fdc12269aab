"""The OpenAPI 3.1 document of the API, and the HTML page that shows it offline."""

from functools import cache
from importlib.resources import files
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from marquee.model.manifest import ScoreUnit
from service.api.problem_details import PROBLEM_TYPE
from service.api.query_params import DEFAULT_N, JSON, MAX_EXCLUDED, MAX_ID_BYTES, MAX_N, TEXT
from service.api.request_bodies import MAX_EVENTS, FeedbackBody, PredictionRequest, VisitorRequest
from service.recommendation.list_selection import FALLBACK_LEVELS

REF = "#/components/schemas/{model}"
BODY_ERRORS = (400, 408, 413, 415, 422)  # of routes with a request body
JsonObject = dict[str, Any]


@cache
def build_openapi_document() -> JsonObject:
    """Build the OpenAPI document of the API."""
    _, request_schemas = models_json_schema(
        [(model, "validation") for model in (VisitorRequest, PredictionRequest, FeedbackBody)],
        ref_template=REF,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Marquee",
            "version": "1",
            "description": "Recommendations from a fitted model. Every response has the headers "
            "`x-request-id`, `x-arm` and `x-model-version`.",
        },
        "paths": _paths(),
        "components": {"schemas": {**request_schemas["$defs"], **_RESPONSE_SCHEMAS}},
    }


def read_docs_page() -> bytes:
    """Read the HTML page; it loads the OpenAPI document from its own server."""
    return (files("service.api") / "page" / "docs.html").read_bytes()


def _paths() -> JsonObject:
    user = _path_parameter("user", "User id; unknown users get a fallback list.")
    item = _path_parameter("item", "Item id.")
    n = _query_parameter(
        "n", {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": DEFAULT_N}, "Number of items."
    )
    exclude = _query_parameter(
        "exclude", {"type": "string"}, f"Item ids separated by commas, at most {MAX_EXCLUDED}."
    )
    genre = _query_parameter("genre", {"type": "string"}, "Genre of the recommended items.")
    attributes = _query_parameter(
        "attributes",
        {"type": "object", "additionalProperties": _STRING},
        "Required value of any attribute of the items, under the name of the attribute: `?language=en`.",
    )
    ratings = _query_parameter(
        "predicted_ratings",
        {**_BOOLEAN, "default": False},
        "Add the predicted rating of each item; only with a predictor.",
    )
    item_ids = {TEXT: {"schema": {"type": "string"}, "example": "50,181,258"}}
    recommendations = _content(_ref("Recommendations"))
    feedback = {"oneOf": [_ref("FeedbackBody"), _array(_ref("FeedbackBody"), 1, MAX_EVENTS)]}
    any_object: JsonObject = _content({"type": "object"})
    return {
        "/recommend/{user}": {
            "get": _operation(
                "recommend-to-user",
                "Recommend items to a user",
                {**recommendations, **item_ids},
                parameters=[user, n, exclude, genre, ratings, attributes],
                errors=(409, 422),
            )
        },
        "/recommend": {
            "post": _operation(
                "recommend-to-visitor",
                "Recommend items to a visitor by ratings and clicks in the body",
                recommendations,
                body=_ref("VisitorRequest"),
                errors=(*BODY_ERRORS, 409),
            )
        },
        "/similar/{item}": {
            "get": _operation(
                "find-similar-items",
                "Find items of the same users",
                _content(_ref("SimilarItems")),
                parameters=[item, n],
                errors=(404, 422),
            )
        },
        "/predict": {
            "post": _operation(
                "predict-ratings",
                "Predict ratings of user-item pairs",
                _content(_ref("Predictions")),
                body=_ref("PredictionRequest"),
                errors=(*BODY_ERRORS, 409),
            )
        },
        "/feedback": {
            "post": _operation(
                "store-feedback",
                "Store feedback; the response is sent once it is on disk",
                _content(_ref("FeedbackReceipt")),
                body=feedback,
                status=202,
            )
        },
        "/items/{item}": {
            "get": _operation(
                "describe-item",
                "Describe an item",
                _content(_ref("Item")),
                parameters=[item],
                errors=(404, 422),
            )
        },
        "/version": {
            "get": _operation(
                "get-version",
                "Get recipes, scores and provenance of the loaded model",
                _content(_ref("Version")),
                errors=(503,),
            )
        },
        "/livez": {"get": _operation("check-liveness", "Check liveness", any_object, errors=())},
        "/readyz": {"get": _operation("check-readiness", "Check readiness", any_object, errors=(503,))},
        "/metrics": {
            "get": _operation(
                "get-metrics", "Get metrics in Prometheus format", {TEXT: {"schema": _STRING}}, errors=()
            )
        },
    }


def _operation(
    operation_id: str,
    summary: str,
    content: JsonObject,
    *,
    parameters: list[JsonObject] | None = None,
    errors: tuple[int, ...] = BODY_ERRORS,
    body: JsonObject | None = None,
    status: int = 200,
) -> JsonObject:
    """Describe one operation.

    Args:
        operation_id: unique name, which client generators use for functions.
        summary: one line.
        content: content of a successful response, by media type.
        parameters: path and query parameters.
        errors: statuses of problem documents. 400 and 503 are added unless the tuple is empty.
        body: schema of the request body.
        status: status of a successful response.
    """
    responses: JsonObject = {str(status): {"description": "Success.", "content": content}}
    for error in sorted({*errors, 400, 503} if errors else ()):
        responses[str(error)] = {
            "description": _ERROR_DESCRIPTIONS[error],
            "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}},
        }
    operation: JsonObject = {
        "summary": summary,
        "operationId": operation_id,
        "responses": responses,
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return operation


def _path_parameter(name: str, description: str) -> JsonObject:
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _query_parameter(name: str, schema: JsonObject, description: str) -> JsonObject:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _ref(name: str) -> JsonObject:
    return {"$ref": REF.format(model=name)}


def _content(schema: JsonObject) -> JsonObject:
    return {JSON: {"schema": schema}}


def _array(items: JsonObject, min_items: int = 0, max_items: int | None = None) -> JsonObject:
    limits = {"minItems": min_items} | ({} if max_items is None else {"maxItems": max_items})
    return {"type": "array", "items": items, **limits}


def _object(**properties: JsonObject) -> JsonObject:
    """Return the schema of an object with these properties, all of them required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


_STRING, _INTEGER, _BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_NUMBER, _NUMBER_OR_NULL = {"type": "number"}, {"type": ["number", "null"]}
_STRING_OR_NULL = {"type": ["string", "null"]}
_RECIPE = _object(algorithm=_STRING, parameters={"type": "object"}, seed=_INTEGER)
_MODEL = _object(
    name=_STRING_OR_NULL,
    version={"type": ["integer", "string", "null"]},
    digest=_STRING,
    recommender={**_STRING, "description": "Algorithm that recommends."},
    predictor={
        **_STRING_OR_NULL,
        "description": "Algorithm that predicts ratings; null if the model was trained on implicit feedback.",
    },
)
_RECOMMENDED_ITEM = _object(item=_STRING, title=_STRING, score=_NUMBER_OR_NULL)
_RECOMMENDED_ITEM["properties"]["predicted_rating"] = {
    **_NUMBER_OR_NULL,
    "description": "Stars, if the request asks for predicted ratings; null if the prediction is impossible.",
}
_RESPONSE_SCHEMAS: JsonObject = {
    "Recommendations": _object(
        user=_STRING_OR_NULL,
        fallback_level={
            "type": "string",
            "enum": list(FALLBACK_LEVELS),
            "description": "Lowest level of the fallback chain that contributed an item. The lists of a "
            "recommender that gives nearly the same list to everybody count as popular.",
        },
        items=_array(_RECOMMENDED_ITEM, 1),
        relaxed_filters={
            **_array(_STRING),
            "description": "Filters of the request that were dropped because too few items passed them, and "
            "caps or repeat_after if the list has items that these rules would have left out.",
        },
        score_unit={
            "type": "string",
            "enum": list(get_args(ScoreUnit)),
            "description": "stars: scores are predicted ratings, not limited to the rating scale. relative: "
            "only the order of the scores in one response has a meaning. Boosts do not change scores. Pinned "
            "items and items of the levels group, popular and static have no score, nor have items ranked by "
            "similar items in a model whose scores are stars.",
        },
        model=_MODEL,
    ),
    "SimilarItems": _object(
        item=_STRING,
        items=_array(_object(item=_STRING, title=_STRING, similarity=_NUMBER_OR_NULL)),
        model=_MODEL,
    ),
    "Predictions": _object(
        predictions=_array(
            _object(
                user=_STRING,
                item=_STRING,
                rating={**_NUMBER, "description": "Stars; the global mean if the prediction is impossible."},
                impossible=_BOOLEAN,
            )
        ),
        model=_MODEL,
    ),
    "FeedbackReceipt": _object(
        stored={**_INTEGER, "description": "Number of new events on disk."},
        duplicates={**_INTEGER, "description": "Number of events whose id was stored before."},
    ),
    "Version": {
        **_object(
            recommender={**_RECIPE, "description": "Recipe of the recommended lists."},
            predictor={
                "oneOf": [_RECIPE, {"type": "null"}],
                "description": "Recipe of the predicted ratings; null if there is none.",
            },
            feedback={"type": "string", "enum": ["explicit", "implicit"]},
            scale={"type": ["array", "null"], "items": _NUMBER},
            score_unit={"type": "string", "enum": list(get_args(ScoreUnit))},
            metrics={"type": "object", "additionalProperties": _NUMBER},
            metrics_note={**_STRING, "description": "What the metrics were measured on."},
            digest=_STRING,
            provenance={"type": "object"},
        ),
        "description": "Manifest of the model, its digest, and the origin of the package.",
    },
    "Item": _object(
        item=_STRING,
        title=_STRING,
        genres=_array(_STRING),
        attributes={
            "type": "object",
            "additionalProperties": _STRING,
            "description": "Further attributes in the training data.",
        },
        available=_BOOLEAN,
    ),
    "Problem": {
        **_object(type=_STRING, title=_STRING, status=_INTEGER, detail=_STRING),
        "description": "Problem document (RFC 9457). `field` names the invalid field, if there is one.",
    },
}
_ERROR_DESCRIPTIONS = {
    400: "The request cannot be parsed.",
    404: "The item or route does not exist.",
    408: "The body took too long.",
    409: "The model predicts no ratings, which the request asks for.",
    413: "The body is too large.",
    415: "The content type or encoding is not supported.",
    422: "A field has an invalid value; the problem names it.",
    503: "The replica is not ready, or feedback cannot be stored; retry later.",
}
