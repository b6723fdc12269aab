"""The API's description by OpenAPI 3.1, and the page that shows it without a network."""

from functools import cache
from importlib.resources import files
from typing import Any

from pydantic.json_schema import models_json_schema

from service.api.query_params import DEFAULT_N, LONGEST_ID, MOST, MOST_EXCLUDED
from service.api.request_models import FeedbackBody, Pairs, Visitor
from service.recommendation.recommender import RUNGS

REF = "#/components/schemas/{model}"
JSON, PROBLEM, TEXT = "application/json", "application/problem+json", "text/plain"
Tree = dict[str, Any]


@cache
def document() -> Tree:
    """The whole description."""
    _, bodies = models_json_schema(
        [(m, "validation") for m in (Visitor, Pairs, FeedbackBody)], ref_template=REF
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Marquee",
            "version": "1",
            "description": "Recommendations from a fitted model. Every answer carries `x-request-id`, "
            "`x-arm` and `x-model-version`.",
        },
        "paths": _paths(),
        "components": {"schemas": {**bodies["$defs"], **_ANSWERS}},
    }


def page() -> bytes:
    """A page that fetches the description from beside itself and shows it."""
    return (files("service.api") / "page" / "docs.html").read_bytes()


def _paths() -> Tree:
    user, item = _in_path("user", "A user, known or not."), _in_path("item", "An item of the catalogue.")
    count = _in_query(
        "n", {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_N}, "How many."
    )
    exclude = _in_query(
        "exclude", {"type": "string"}, f"At most {MOST_EXCLUDED} item ids, separated by commas."
    )
    genre = _in_query("genre", {"type": "string"}, "One genre of the catalogue.")
    text = {TEXT: {"schema": {"type": "string"}, "example": "50,181,258"}}
    listed = {JSON: {"schema": _ref("Recommendations")}, **text}
    return {
        "/recommend/{user}": {
            "get": _operation("Recommend items to a user", listed, [user, count, exclude, genre], (422,))
        },
        "/recommend": {
            "post": _operation(
                "Recommend items to a visitor, by ratings in the body",
                {JSON: {"schema": _ref("Recommendations")}},
                body=_ref("Visitor"),
            )
        },
        "/similar/{item}": {
            "get": _operation("Items that the same people rated", _one("Similar"), [item, count], (404, 422))
        },
        "/predict": {"post": _operation("Predict ratings of pairs", _one("Predictions"), body=_ref("Pairs"))},
        "/feedback": {
            "post": _operation(
                "Keep what users did; acknowledged once it is on disk",
                _one("Kept"),
                body={"oneOf": [_ref("FeedbackBody"), _list_of("FeedbackBody", 1, 1000)]},
                status=202,
            )
        },
        "/items/{item}": {"get": _operation("What is known of an item", _one("Item"), [item], (404, 422))},
        "/version": {"get": _operation("What is loaded, and where it comes from", _object(), (), (503,))},
        "/livez": {"get": _operation("The process turns", _object(), (), ())},
        "/readyz": {"get": _operation("Whether requests should come here", _object(), (), (503,))},
        "/metrics": {"get": _operation("Counts and times, for Prometheus", text, (), ())},
    }


def _operation(
    summary: str,
    content: Tree,
    parameters: Any = (),
    refusals: tuple[int, ...] = (400, 408, 413, 415, 422),
    *,
    body: Tree | None = None,
    status: int = 200,
) -> Tree:
    answers: Tree = {str(status): {"description": "The answer.", "content": content}}
    for refusal in sorted({*refusals, *(() if refusals == () else (400, 503))}):
        answers[str(refusal)] = {
            "description": _REFUSALS[refusal],
            "content": {PROBLEM: {"schema": _ref("Problem")}},
        }
    operation: Tree = {"summary": summary, "operationId": _identity(summary), "responses": answers}
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    return operation


def _identity(summary: str) -> str:
    return "-".join(word.strip(",;").lower() for word in summary.split()[:5])


def _in_path(name: str, about: str) -> Tree:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _in_query(name: str, schema: Tree, about: str) -> Tree:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


def _ref(name: str) -> Tree:
    return {"$ref": REF.format(model=name)}


def _one(name: str) -> Tree:
    return {JSON: {"schema": _ref(name)}}


def _object() -> Tree:
    return {JSON: {"schema": {"type": "object"}}}


def _list_of(name: str, least: int = 0, most: int | None = None) -> Tree:
    limits = {"minItems": least} | ({} if most is None else {"maxItems": most})
    return {"type": "array", "items": _ref(name), **limits}


def _fields(**properties: Tree) -> Tree:
    return {"type": "object", "properties": properties, "required": list(properties)}


_STRING, _NUMBER, _OR_NULL = {"type": "string"}, {"type": "number"}, {"type": ["number", "null"]}
_GIVEN = _fields(item=_STRING, title=_STRING, score=_OR_NULL)
_MODEL = _fields(
    name={"type": ["string", "null"]}, version={"type": ["integer", "string", "null"]}, digest=_STRING
)
_LIKE = _fields(item=_STRING, title=_STRING, similarity=_OR_NULL)
_PREDICTED = _fields(user=_STRING, item=_STRING, rating=_NUMBER, impossible={"type": "boolean"})
_ANSWERS: Tree = {
    "Recommendations": _fields(
        user={"type": ["string", "null"]},
        rung={
            "type": "string",
            "enum": list(RUNGS),
            "description": "of the ladder, the lowest that gave an item",
        },
        items={"type": "array", "items": _GIVEN, "minItems": 1},
        relaxed={"type": "array", "items": _STRING, "description": "wishes that could not be met"},
        model=_MODEL,
    ),
    "Similar": _fields(item=_STRING, items={"type": "array", "items": _LIKE}, model=_MODEL),
    "Predictions": _fields(predictions={"type": "array", "items": _PREDICTED}, model=_MODEL),
    "Kept": _fields(stored={"type": "integer"}, duplicates={"type": "integer"}),
    "Item": _fields(
        item=_STRING, title=_STRING, genres={"type": "array", "items": _STRING}, available={"type": "boolean"}
    ),
    "Problem": {
        **_fields(type=_STRING, title=_STRING, status={"type": "integer"}, detail=_STRING),
        "description": "RFC 9457; `field` names what is wrong, where it is a field.",
    },
}
_REFUSALS = {
    400: "The request cannot be read.",
    404: "There is no such item or route.",
    408: "The body took too long.",
    413: "The body is too large.",
    415: "The body is no plain JSON.",
    422: "A field has a value that cannot be used; it is named.",
    503: "Not ready, or feedback cannot be kept: ask again later.",
}
