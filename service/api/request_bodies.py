"""Request bodies: reading, parsing and validation.

A body is one JSON document of at most one mebibyte, sent within five seconds. Validation is strict: strings
are not converted to numbers, NaN and infinity are rejected, and keys must be known and unique.
"""

import asyncio
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from starlette.requests import ClientDisconnect, Request

from marquee.events import FeedbackKind
from service.api.problem_details import RequestProblem, invalid_field_problem, malformed_request_problem
from service.api.query_params import DEFAULT_N, JSON, MAX_EXCLUDED, MAX_ID_BYTES, MAX_N, find_id_problem

MAX_BODY_BYTES = 1 << 20
BODY_TIMEOUT_S = 5.0  # for the whole body
MAX_RATINGS = 1000
MAX_ATTRIBUTES = 20
MAX_PAIRS = 1000
MAX_EVENTS = 1000
MAX_WATCH_MINUTES = 10_080  # a week
MAX_NAME_LENGTH = 64  # longer field names are truncated in problem documents
MAX_LENGTH_DIGITS = 20  # of a Content-Length header; further digits are ignored, not converted
Body = TypeVar("Body")


def _validate_id(text: str) -> str:
    if problem := find_id_problem(text):
        raise ValueError(f"id {problem}")
    return text


Id = Annotated[
    str, AfterValidator(_validate_id), Field(min_length=1, max_length=MAX_ID_BYTES, examples=["42"])
]
Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class VisitorRequest(_StrictModel):
    """A visitor without a user id, described by ratings and clicks. No item of the body is recommended."""

    ratings: Annotated[
        dict[Id, Number],
        Field(
            max_length=MAX_RATINGS,
            description="Ratings in stars, by item id; only for models trained on ratings.",
        ),
    ] = {}
    clicks: Annotated[
        list[Id],
        Field(
            max_length=MAX_RATINGS,
            description="Ids of items that the visitor clicked, watched or bought, without a rating.",
        ),
    ] = []
    exclude: Annotated[
        list[Id], Field(max_length=MAX_EXCLUDED, description="Ids of items that must not be recommended.")
    ] = []
    genre: Annotated[str | None, Field(description="Genre of the recommended items.")] = None
    attributes: Annotated[
        dict[Name, str],
        Field(max_length=MAX_ATTRIBUTES, description="Required value of each of these attributes."),
    ] = {}
    predicted_ratings: Annotated[
        bool, Field(description="Add the predicted rating of each item; only with a predictor.")
    ] = False
    n: Annotated[int, Field(ge=1, le=MAX_N, description="Number of items.")] = DEFAULT_N


class UserItemPair(_StrictModel):
    """A user and an item."""

    user: Id
    item: Id


class PredictionRequest(_StrictModel):
    """User-item pairs whose ratings are to be predicted."""

    pairs: Annotated[list[UserItemPair], Field(min_length=1, max_length=MAX_PAIRS)]


class FeedbackBody(_StrictModel):
    """A user rated, watched or clicked an item."""

    event_id: Annotated[Id, Field(description="Chosen by the client; a repeated id is stored once.")]
    user: Id
    item: Id
    kind: FeedbackKind
    value: Annotated[Number, Field(description="Stars of a rating, minutes watched, or 1 for a click.")] = 1.0
    request_id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="The x-request-id of the recommendation that led to this event.",
        ),
    ] = None
    time: Annotated[Number | None, Field(ge=0, description="UTC seconds; default: now.")] = None

    @model_validator(mode="after")
    def _check_value(self) -> "FeedbackBody":
        if self.kind == "rating" and "value" not in self.model_fields_set:
            raise ValueError("value: a rating must have a value")
        if self.kind == "watch" and not 0 <= self.value <= MAX_WATCH_MINUTES:
            raise ValueError(f"value: minutes watched must be between 0 and {MAX_WATCH_MINUTES}")
        if self.kind == "click" and self.value != 1:
            raise ValueError("value: the value of a click must be 1")
        return self


VISITOR_REQUEST: TypeAdapter[VisitorRequest] = TypeAdapter(VisitorRequest)
PREDICTION_REQUEST: TypeAdapter[PredictionRequest] = TypeAdapter(PredictionRequest)
FEEDBACK: TypeAdapter[FeedbackBody] = TypeAdapter(FeedbackBody)
FeedbackBatch = Annotated[list[FeedbackBody], Field(min_length=1, max_length=MAX_EVENTS)]
FEEDBACK_BATCH: TypeAdapter[list[FeedbackBody]] = TypeAdapter(FeedbackBatch)


async def read_json_body(request: Request) -> Any:
    """Read and parse the JSON document of a request.

    Raises:
        RequestProblem: the body is too large, takes too long, has another media type or is malformed.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise _unsupported(f"content type must be {JSON}", "content-type")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unsupported("the body must not be compressed", "content-encoding")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:MAX_LENGTH_DIGITS]) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            data = await _receive(request)
    except TimeoutError:
        detail = f"the body took longer than {BODY_TIMEOUT_S:g} s"
        raise RequestProblem(HTTPStatus.REQUEST_TIMEOUT, detail, "body") from None
    except ClientDisconnect:
        raise malformed_request_problem("the body is incomplete") from None
    return parse_strict_json(data)


def parse_strict_json(data: bytes) -> Any:
    """Parse a JSON document strictly by RFC 8259, and reject repeated keys.

    Raises:
        RequestProblem: the document is malformed.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_reject_repeated_keys, parse_constant=_reject_constant
        )
    except UnicodeDecodeError:
        raise malformed_request_problem("the body must be UTF-8") from None
    except RecursionError:
        raise malformed_request_problem("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise malformed_request_problem(
            f"the body must be JSON: {error.msg} at character {error.pos}"
        ) from None
    except ValueError:
        raise malformed_request_problem("the body has a number with too many digits") from None


def validate_body(adapter: TypeAdapter[Body], content: Any) -> Body:
    """Validate a parsed body.

    Raises:
        RequestProblem: a field has an invalid value; the problem names the first such field.
    """
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        detail = first["msg"].removeprefix("Value error, ")
        field, separator, rest = detail.partition(": ")
        # A model validator names the field in its message, because pydantic reports only the model.
        if first["type"] == "value_error" and separator:
            raise invalid_field_problem(_field_path((*first["loc"], field)), rest) from None
        raise invalid_field_problem(_field_path(first["loc"]), detail[0].lower() + detail[1:]) from None


def validate_feedback_body(content: Any) -> list[FeedbackBody]:
    """Validate one feedback event or a list of feedback events.

    Raises:
        RequestProblem: a field has an invalid value.
    """
    if isinstance(content, list):
        return validate_body(FEEDBACK_BATCH, content)
    return [validate_body(FEEDBACK, content)]


async def _receive(request: Request) -> bytes:
    """Receive a body up to the size limit; a Content-Length header may be missing or wrong."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> RequestProblem:
    detail = f"the body must have at most {MAX_BODY_BYTES} bytes"
    return RequestProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, "body")


def _unsupported(detail: str, header: str) -> RequestProblem:
    return RequestProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, header)


def _reject_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise malformed_request_problem("a key must not be repeated", repeated[:MAX_NAME_LENGTH])
    return members


def _reject_constant(text: str) -> NoReturn:
    raise malformed_request_problem(f"{text} is not a JSON number")


def _field_path(parts: Iterable[int | str]) -> str:
    """Return the path of a field in a document, such as `pairs[0].user`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:MAX_NAME_LENGTH]}"
    return path.removeprefix(".") or "body"
