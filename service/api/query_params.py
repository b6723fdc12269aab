"""The fields of a request, each checked where it is read: what it may be, and what is said if it is not."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from urllib.parse import parse_qsl

from service.api.problem_details import malformed, wrong

DEFAULT_N, MOST = 10, 100
LONGEST_ID = 256  # bytes
MOST_EXCLUDED = 1000
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # as at ingestion: who may rate may ask
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TEXT, JSON = "text/plain", "application/json"


def read_id(text: str, field: str) -> str:
    """A user's or an item's id."""
    if problem := id_problem(text):
        raise wrong(field, f"an id {problem}")
    return text


def id_problem(text: str) -> str | None:
    """What is wrong with an id, if anything."""
    if not text:
        return "is not empty"
    if CONTROLS.search(text):
        return "has no control characters"
    if len(text.encode()) > LONGEST_ID:
        return f"has at most {LONGEST_ID} bytes"
    return None


def read_query(query: bytes, known: Iterable[str]) -> Mapping[str, str]:
    """The fields of a query string, each given once."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise malformed("the query is no URL-encoded UTF-8 of at most 100 fields", "query") from None
    fields = dict(pairs)
    for name, _ in pairs:
        if name not in known:
            raise wrong(name, f"there is no such field: {', '.join(known)} are known")
    if len(fields) < len(pairs):
        twice = next(name for name in fields if [each for each, _ in pairs].count(name) > 1)
        raise wrong(twice, f"{twice} is given more than once")
    return fields


def read_n(text: str | None) -> int:
    """How many: plain ASCII digits, from 1 to the most."""
    if text is None:
        return DEFAULT_N
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST):
        raise wrong("n", f"n is a whole number from 1 to {MOST}")
    return int(text)


def read_exclude(text: str | None) -> list[str]:
    """Item ids separated by commas."""
    items = text.split(",") if text else []
    if len(items) > MOST_EXCLUDED:
        raise wrong("exclude", f"exclude has at most {MOST_EXCLUDED} ids")
    return [read_id(item, "exclude") for item in items]


def read_genre(name: str | None, genres: tuple[str, ...]) -> int | None:
    """The number of a genre of the catalogue."""
    if name is None:
        return None
    if name not in genres:
        near = get_close_matches(name[:LONGEST_ID], genres, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(genres) or 'none'}"
        raise wrong("genre", f"the catalogue has no such genre: {hint}")
    return genres.index(name)


def wants_text(accept: str) -> bool:
    """Whether plain text is asked for before JSON; what else is asked for gets JSON."""
    for kind in accept.split(","):
        media = kind.partition(";")[0].strip().lower()
        if media in {TEXT, JSON, "*/*"}:
            return media == TEXT
    return False
