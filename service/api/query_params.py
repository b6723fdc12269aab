"""Parsing and validation of ids, query parameters and the Accept header."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from urllib.parse import parse_qsl

from marquee.model.item_attributes import GENRES, ItemAttributes
from service.api.problem_details import invalid_field_problem, malformed_request_problem

DEFAULT_N = 10
MAX_N = 100
MAX_N_DIGITS = 9
MAX_ID_BYTES = 256
MAX_EXCLUDED = 1000
MAX_QUERY_FIELDS = 100
MAX_HINT_VALUES = 1000  # values of an attribute among which a similar one is looked for
QUERY_FIELDS = ("n", "exclude", "genre", "predicted_ratings")  # of /recommend, beside names of attributes
# The same characters that ingestion rejects in ids, so every user in the data can be requested.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TEXT, JSON = "text/plain", "application/json"


def validate_id(text: str, field: str) -> str:
    """Return the id of a user or an item unchanged.

    Raises:
        RequestProblem: the id is invalid; the problem names `field`.
    """
    if problem := find_id_problem(text):
        raise invalid_field_problem(field, f"id {problem}")
    return text


def find_id_problem(text: str) -> str | None:
    """Return what is wrong with an id, or None if it is valid."""
    if not text:
        return "must not be empty"
    if CONTROL_CHARACTERS.search(text):
        return "must not contain control characters"
    if len(text.encode()) > MAX_ID_BYTES:
        return f"must have at most {MAX_ID_BYTES} bytes"
    return None


def parse_query_string(query: bytes, allowed: Iterable[str]) -> Mapping[str, str]:
    """Parse a query string; each of the allowed fields may occur once.

    Raises:
        RequestProblem: the query is malformed, or a field is unknown or repeated.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        detail = f"query must be URL-encoded UTF-8 with at most {MAX_QUERY_FIELDS} fields"
        raise malformed_request_problem(detail, "query") from None
    fields = dict(pairs)
    for name in fields:
        if name not in allowed:
            raise invalid_field_problem(name, f"unknown field (expected one of {', '.join(allowed)})")
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in fields if names.count(name) > 1)
        raise invalid_field_problem(repeated, f"{repeated} must not be repeated")
    return fields


def parse_n(text: str | None) -> int:
    """Parse the number of items, which must be ASCII digits without a sign; None means the default."""
    if text is None:
        return DEFAULT_N
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_N_DIGITS
    if not (is_number and 1 <= int(text) <= MAX_N):
        raise invalid_field_problem("n", f"n must be an integer between 1 and {MAX_N}")
    return int(text)


def parse_switch(text: str | None, field: str) -> bool:
    """Parse a switch, which must be true or false; None means false."""
    if text not in {None, "true", "false"}:
        raise invalid_field_problem(field, f"{field} must be true or false")
    return text == "true"


def parse_excluded_ids(text: str | None) -> list[str]:
    """Parse and validate item ids separated by commas."""
    items = text.split(",") if text else []
    if len(items) > MAX_EXCLUDED:
        raise invalid_field_problem("exclude", f"exclude must have at most {MAX_EXCLUDED} ids")
    return [validate_id(item, "exclude") for item in items]


def find_genre_index(name: str | None, genres: tuple[str, ...]) -> int | None:
    """Return the index of a genre in `genres`, or None without a genre.

    Raises:
        RequestProblem: there is no such genre; the problem suggests a similar one.
    """
    if name is None:
        return None
    if name not in genres:
        raise invalid_field_problem("genre", f"the catalog has no such genre; {_genre_hint(name, genres)}")
    return genres.index(name)


def filter_names(attributes: ItemAttributes) -> tuple[str, ...]:
    """Return the attributes by which a request may filter, beside the genre."""
    return tuple(name for name in attributes.names if name != GENRES)


def find_attribute_values(
    fields: Mapping[str, str], attributes: ItemAttributes
) -> tuple[tuple[str, str], ...]:
    """Return the attributes among the fields of a request, and their required values.

    Raises:
        RequestProblem: no item has such a value; the problem suggests a similar one.
    """
    names = [name for name in filter_names(attributes) if name in fields]
    for name in names:
        values, value = attributes.items_by_value[name], fields[name]
        if value not in values:
            matches = get_close_matches(value[:MAX_ID_BYTES], list(values)[:MAX_HINT_VALUES], n=1)
            hint = f"; did you mean {matches[0]}?" if matches else ""
            raise invalid_field_problem(name, f"no item of the catalog has this value{hint}")
    return tuple((name, fields[name]) for name in names)


def _genre_hint(name: str, genres: tuple[str, ...]) -> str:
    matches = get_close_matches(name[:MAX_ID_BYTES], genres, n=1)
    if matches:
        return f"did you mean {matches[0]}?"
    return f"expected one of {', '.join(genres)}" if genres else "its items have no genres"


def prefers_plain_text(accept: str) -> bool:
    """Return True if an Accept header lists plain text before JSON; the default is JSON."""
    for media_range in accept.split(","):
        media_type = media_range.partition(";")[0].strip().lower()
        if media_type in {TEXT, JSON, "*/*"}:
            return media_type == TEXT
    return False
