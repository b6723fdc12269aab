"""One replica: the model that answers now, what users did since, and the events on their way to disk.

All of it belongs to the event loop's thread. What takes long (reading a new model, the files of other
replicas) is done by a thread beside it, which hands over what it found between two requests.
"""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from marquee.errors import ConfigError, ModelError
from marquee.events import ExposureTemplate, Feedback
from service import logs
from service.api.response_cache import Shelf
from service.metrics import Measured, Observed, gauge, info, telemetry_metrics
from service.recommendation.availability import Policy, read_policy
from service.recommendation.loaded_model import Served, load
from service.recommendation.recent_activity import Visitors
from service.recommendation.recommender import Person, Recommender, Wish
from service.settings import Settings
from service.telemetry import EventWriter, Follower, TelemetrySettings

LOOK_EVERY_S = 1.0  # for another model, another catalogue, feedback given to other replicas
log = logs.logger("replica")


class NotReady(Exception):
    """No model is loaded, and why."""


class Replica:
    """State of the process that serves."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.observed = Observed()
        self.visitors = Visitors()
        self.served: Served | None = None
        self.trouble: dict[str, str] = {}  # what is wrong, by what it is wrong with
        self.shelf = Shelf()
        self.writer = EventWriter(_telemetry(settings)) if settings.telemetry else None
        self._follower = Follower(settings.events) if settings.telemetry else None
        self._model = _Watched(settings.model)
        self._policy_file = None if settings.catalogue is None else _Watched(settings.catalogue)
        self._policy = Policy()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.observed.add(self._counted)
        self._stop = threading.Event()
        self._beside = threading.Thread(target=self._look_around, name="marquee-beside", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return self.served is not None

    def start(self) -> None:
        """Load everything; what fails leaves the replica up and unready, for a health check to say so."""
        if self.writer is not None:
            self.writer.start()
        self._look()
        _settle()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On the loop that runs now: look around beside it, and hand over to it, until it ends."""
        self._loop = asyncio.get_running_loop()
        self._beside.start()
        try:
            yield
        finally:
            self.close()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left."""
        self._stop.set()
        if self._beside.is_alive():
            self._beside.join(timeout_s)
        if self.writer is not None:
            self.writer.close(timeout_s)

    def serving(self) -> Served:
        """What a request is answered from.

        Raises:
            NotReady: no model is loaded.
        """
        if self.served is None:
            raise NotReady(self.trouble.get("model", "no model is loaded yet"))
        return self.served

    def condition(self) -> dict[str, object]:
        """What is wrong although requests are answered, and how telemetry does."""
        telemetry = "off" if self.writer is None else self.writer.state()
        return {"telemetry": telemetry, "trouble": self.trouble}

    def _counted(self) -> Iterator[Measured]:
        """What /metrics shows of the state."""
        if self.served is not None:
            label, digest = self.served.label, self.served.model.digest
            yield info("marquee_model", "What is loaded.", version=label, digest=digest)
        yield gauge("marquee_ready", "Whether a model is loaded.", float(self.ready))
        yield gauge("marquee_visitors", "Users who did something since training.", len(self.visitors))
        yield gauge("marquee_trouble", "What is wrong although requests are answered.", len(self.trouble))
        if self.writer is not None:
            yield from telemetry_metrics(self.writer)

    def expose(self, event: ExposureTemplate, request_id: bytes, rung: str, seconds: float) -> None:
        """Count an answer and put its event into the queue; never waits."""
        self.observed.rung(rung)
        if self.writer is not None:
            self.writer.offer(event.line(request_id, time.time(), seconds * 1e6))

    def note(self, events: Iterable[Feedback]) -> None:
        """Remember what users did, and forget the answers that they were given before."""
        for event in events:
            self.visitors.note(event.user, event.item, event.kind, event.value)
            self.shelf.drop(event.user)

    def _heard(self, events: Sequence[Feedback]) -> None:
        """Feedback in the files: this replica's own as well, which changes nothing."""
        assert self.writer is not None
        self.writer.remember(event.event_id for event in events)
        self.note(events)

    def person(self, served: Served, user: str) -> Person:
        """Who a user is to a model, with what they did since it was trained."""
        model = served.model
        rated = {}
        for item, rating in self.visitors.of(user).items():
            if (number := model.item_number(item)) is not None:
                rated[number] = rating
        return Person(model.user_number(user), rated)

    def _look_around(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self._look()
            except Exception as error:
                if self.trouble.get("looking") != repr(error):  # one line an incident, not one a second
                    self.trouble["looking"] = repr(error)
                    log.exception("looking around failed")
            else:
                self.trouble.pop("looking", None)

    def _look(self) -> None:
        """Take up what changed on disk."""
        changed = self._policy_file is not None and self._policy_file.changed()
        if changed:
            self._read_policy()
        if self._model.changed():
            self._load()
        elif changed and self.served is not None:
            served = self.served
            self._swap(replace(served, recommender=Recommender(served.model, self._policy)))
        if self._follower is not None:
            events = [event for event in self._follower.poll() if isinstance(event, Feedback)]
            if events:
                self._hand_over(lambda: self._heard(events))

    def _load(self) -> None:
        """Load the model that lies there now, beside the one that answers."""
        try:
            served = load(self.settings.model, self._policy)
            _warm(served)
        except ModelError as error:
            if self.trouble.get("model") != str(error):
                log.error("model not loaded", reason=str(error), answering=self.ready)  # noqa: TRY400
            self.trouble["model"] = str(error)
        else:
            self.trouble.pop("model", None)
            self._swap(served)
            log.info("model loaded", version=served.label, digest=served.model.digest[:12])

    def _read_policy(self) -> None:
        assert self._policy_file is not None
        try:
            self._policy = read_policy(self._policy_file.path)
        except ConfigError as error:
            self.trouble["catalogue"] = str(error)
            log.error("catalogue not read", reason=str(error))  # noqa: TRY400
        else:
            self.trouble.pop("catalogue", None)

    def _swap(self, served: Served) -> None:
        def swap() -> None:
            self.served = served
            self.shelf.clear()

        self._hand_over(swap)

    def _hand_over(self, work: Callable[[], None]) -> None:
        """Have the event loop do it, between two requests."""
        if self._loop is None:
            work()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)


class _Watched:
    """A file or a folder of files, and whether anything in it is another than when last asked.

    All files of a model are looked at, not its manifest alone: one that was half copied is tried again when
    the other half has come.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[object, ...] | None = ()

    def changed(self) -> bool:
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> tuple[object, ...] | None:
        """What tells one state from another; None where nothing is there."""
        try:
            files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
            stats = [file.stat() for file in files]
        except OSError:
            return None
        names = (file.name for file in files)
        return tuple(
            (name, stat.st_ino, stat.st_mtime_ns, stat.st_size)
            for name, stat in zip(names, stats, strict=True)
        )


def _telemetry(settings: Settings) -> TelemetrySettings:
    return TelemetrySettings(folder=settings.events, replica=settings.replica)


def _warm(served: Served) -> None:
    """Stand on every rung once, so that nobody's request is the first to touch a page or an import."""
    model = served.model
    people: Sequence[Person] = [Person(), Person(rated={0: 3.0} if len(model.arrays.items) else {})]
    known = [Person(number) for number in range(min(len(model.arrays.users), 100))]
    for person in (*people, *known):
        answer = served.recommender.recommend(person, Wish(10))
        served.body("", answer)
    if known:
        everything = frozenset(item for item, _ in model.personal(0))
        served.recommender.recommend(known[0], Wish(10, exclude=everything))
    served.recommender.costs.seconds.clear()  # the first of anything is slow


def _settle() -> None:
    """Keep the garbage collector off what was just loaded: its passes are the peaks in latency."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
