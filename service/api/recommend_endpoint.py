"""GET /recommend/{user}: the route that is asked a thousand times as often as all others together.

It answers as a bare ASGI callable, from a shelf of answers already given: what a user is told changes only
with the model, the catalogue or what the user does, and each of them clears the shelf. The shelf is bounded;
who is not on it is looked up and put there.
"""

import time

from starlette.types import Receive, Scope, Send

from marquee.events import ExposureTemplate
from service.api.problem_details import Refused, fault, not_ready, wrong
from service.api.query_params import (
    JSON,
    TEXT,
    read_exclude,
    read_genre,
    read_id,
    read_n,
    read_query,
    wants_text,
)
from service.api.response_cache import Ready
from service.api.response_headers import Envelope
from service.recommendation.deadline import Deadline
from service.recommendation.loaded_model import Served
from service.recommendation.recommender import Answer, Person, Wish
from service.replica import NotReady, Replica

PREFIX = "/recommend/"
ROUTE = "/recommend/{user}"
FIELDS = ("n", "exclude", "genre")
PLAIN = (None, b"*/*", JSON.encode())  # what is accepted where the answer on the shelf will do
STORED = ("personal", "popular")  # rungs that depend on nothing but model, catalogue and user


class Hot:
    """The route, over one replica."""

    def __init__(self, replica: Replica, envelope: Envelope) -> None:
        self._replica = replica
        self._envelope = envelope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET below `/recommend/`."""
        began = time.perf_counter()
        accept = given = None
        for name, value in scope["headers"]:
            if name == b"accept":
                accept = value
            elif name == b"x-request-id":
                given = value
        request_id = self._envelope.request_id(given)
        identity = request_id.encode()
        try:
            ready = self._ready(scope, accept, began)
        except Exception as error:
            refused = _refused(error)
            await self._envelope.refuse(refused, ROUTE, request_id, began)(scope, receive, send)
            return
        headers = [*ready.headers, (b"x-request-id", identity)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ready.body})
        seconds = time.perf_counter() - began
        self._replica.observed.request(ROUTE, 200, seconds)
        self._replica.expose(ready.event, identity, ready.rung, seconds)

    def _ready(self, scope: Scope, accept: bytes | None, began: float) -> Ready:
        """From the shelf, or made now."""
        replica = self._replica
        served = replica.serving()
        user, query = scope["path"][len(PREFIX) :], scope["query_string"]
        plain = not query and accept in PLAIN
        if time.time() >= replica.shelf.valid_until:
            replica.shelf.clear()
        elif plain and (ready := replica.shelf.get(user)) is not None:
            return ready
        answer, text = self._answer(served, user, query, accept, began)
        ready = self._packed(served, user, answer, text)
        if plain and ready.rung in STORED:
            replica.shelf.put(user, ready, served.recommender.valid_until)
        return ready

    def _answer(
        self, served: Served, user: str, query: bytes, accept: bytes | None, began: float
    ) -> tuple[Answer, bool]:
        """Read the request and climb the ladder. Whether it is to be text, too."""
        read_id(user, "user")
        text = wants_text("" if accept is None else accept.decode("latin-1"))
        fields = read_query(query, FIELDS)
        model = served.model
        exclude = (model.item_number(item) for item in read_exclude(fields.get("exclude")))
        wish = Wish(
            read_n(fields.get("n")),
            frozenset(number for number in exclude if number is not None),
            read_genre(fields.get("genre"), model.tastes.genres),
        )
        deadline = Deadline.after(self._replica.settings.deadline_ms / 1000, began)
        return answered(served, self._replica.person(served, user), wish, deadline), text

    def _packed(self, served: Served, user: str, answer: Answer, text: bool) -> Ready:
        ids = served.ids(answer)
        body = ",".join(ids).encode() if text else served.body(user, answer)
        kind = f"{TEXT}; charset=utf-8" if text else JSON
        arm = self._replica.settings.arm
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            *self._envelope.stamp(served),
        ]
        event = ExposureTemplate(user, arm, served.label, answer.rung, tuple(ids))
        return Ready(body, headers, answer.rung, event)


def _refused(error: Exception) -> Refused:
    """What is answered instead of a recommendation."""
    if isinstance(error, Refused):
        return error
    return not_ready(error) if isinstance(error, NotReady) else fault(error)


def answered(served: Served, person: Person, wish: Wish, deadline: Deadline) -> Answer:
    """The recommender's answer, which always has items.

    Raises:
        Refused: everything that may be shown was rated or is to be left out.
    """
    answer = served.recommender.recommend(person, wish, deadline)
    if not answer.items:
        raise wrong(
            "exclude" if wish.exclude else "user",
            "nothing is left to recommend: all that may be shown was rated or is to be left out",
        )
    return answer
