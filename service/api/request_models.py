"""The bodies that requests carry: what each has to look like, and how it is read.

A body is one JSON document of at most a mebibyte, sent within seconds. Numbers are numbers: no text that
looks like one, no NaN, no infinity; no key twice; no key that is not known.
"""

import asyncio
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Literal, NoReturn, TypeVar

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

from service.api.problem_details import Refused, malformed, wrong
from service.api.query_params import DEFAULT_N, JSON, MOST, MOST_EXCLUDED, id_problem

LARGEST = 1 << 20  # bytes
SECONDS = 5.0  # for the whole of it
MOST_RATINGS, MOST_PAIRS, MOST_EVENTS = 1000, 1000, 1000
LONGEST_WATCH = 10_080  # minutes: a week
Body = TypeVar("Body")


def _id(text: str) -> str:
    if problem := id_problem(text):
        raise ValueError(f"an id {problem}")
    return text


Id = Annotated[str, AfterValidator(_id), Field(min_length=1, max_length=256, examples=["42"])]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Visitor(_Strict):
    """Somebody who asks with what they rated, instead of with an id."""

    ratings: Annotated[dict[Id, Number], Field(max_length=MOST_RATINGS, description="stars by item id")]
    exclude: Annotated[list[Id], Field(max_length=MOST_EXCLUDED)] = []
    genre: str | None = None
    n: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_N


class Pair(_Strict):
    """A user and an item."""

    user: Id
    item: Id


class Pairs(_Strict):
    """Ratings to be predicted."""

    pairs: Annotated[list[Pair], Field(min_length=1, max_length=MOST_PAIRS)]


class FeedbackBody(_Strict):
    """One thing that a user did with an item."""

    event_id: Annotated[Id, Field(description="the client's; the same id again is stored once")]
    user: Id
    item: Id
    kind: Annotated[Literal["rating", "watch", "click"], Field(description="watch: minutes; click: 1")]
    value: Number = 1.0
    request_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = None
    time: Annotated[Number | None, Field(ge=0, description="UTC seconds; now, where it is missing")] = None

    @model_validator(mode="after")
    def _in_range(self) -> "FeedbackBody":
        if self.kind == "rating" and "value" not in self.model_fields_set:
            raise ValueError("value: a rating has a value")
        if self.kind == "watch" and not 0 <= self.value <= LONGEST_WATCH:
            raise ValueError(f"value: minutes watched are from 0 to {LONGEST_WATCH}")
        if self.kind == "click" and self.value != 1:
            raise ValueError("value: a click has the value 1")
        return self


VISITOR: TypeAdapter[Visitor] = TypeAdapter(Visitor)
PAIRS: TypeAdapter[Pairs] = TypeAdapter(Pairs)
Batch = Annotated[list[FeedbackBody], Field(min_length=1, max_length=MOST_EVENTS)]
FEEDBACK: TypeAdapter[FeedbackBody] = TypeAdapter(FeedbackBody)
FEEDBACK_BATCH: TypeAdapter[list[FeedbackBody]] = TypeAdapter(Batch)


async def read_body(request: Request) -> Any:
    """The JSON document of a request.

    Raises:
        Refused: it is too large, too slow, of another type or malformed.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a body is {JSON}", "content-type")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is not compressed", "content-encoding")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > LARGEST:
        raise _too_large()
    try:
        async with asyncio.timeout(SECONDS):
            data = await _whole(request)
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"the body took over {SECONDS:g} s", "body") from None
    except ClientDisconnect:
        raise malformed("the body ended early") from None
    return parse(data)


def parse(data: bytes) -> Any:
    """A JSON document, by the letter of RFC 8259."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise malformed("the body is no UTF-8") from None
    except RecursionError:
        raise malformed("the body is nested too deep") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the body is no JSON: {error.msg} at character {error.pos}") from None
    except ValueError:
        raise malformed("the body has a number of too many digits") from None


def check(adapter: TypeAdapter[Body], tree: Any) -> Body:
    """The document as what it has to be.

    Raises:
        Refused: a field has a value that cannot be used; it is named.
    """
    try:
        return adapter.validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        detail = first["msg"].removeprefix("Value error, ")
        inner, separator, rest = detail.partition(": ")
        if first["type"] == "value_error" and separator:  # said of a whole object, of one field in it
            raise wrong(_place((*first["loc"], inner)), rest) from None
        raise wrong(_place(first["loc"]), detail[0].lower() + detail[1:]) from None


async def _whole(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _too_large() -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {LARGEST} bytes", "body")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise malformed("a key is given more than once", twice[:64])
    return found


def _no_number(text: str) -> NoReturn:
    raise malformed(f"{text} is no JSON number")


def _place(parts: Iterable[int | str]) -> str:
    """A field's place in a document, as in `pairs[0].user`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:64]}"
    return path.removeprefix(".") or "body"
