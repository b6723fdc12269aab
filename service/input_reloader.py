"""Reloading of a replica's inputs from disk: the model, rules of the shop, and other replicas' events."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from marquee.errors import ConfigError, ModelError
from marquee.events import Event
from service import logs
from service.file_changes import ChangeDetector
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import Recommender
from service.recommendation.shop_rules import ShopRules, read_shop_rules
from service.recommendation.warm_up import warm_up
from service.settings import Settings
from service.telemetry import EventTail, yield_until_os_error

POLL_INTERVAL_S = 1.0  # of the model and the rules
EVENT_POLL_INTERVAL_S = 0.2
RULES = "availability"  # key of their problems
log = logs.get_logger("reloader")


class InputReloader:
    """Detects changes on disk and loads them.

    Slow work (reading and verifying a model) happens in a background thread, and reading events in another
    one, so that a model does not delay them. The callbacks run on the event loop, between two requests;
    before `start`, they run at once in the thread that calls `load_changes`.
    """

    def __init__(
        self,
        settings: Settings,
        problems: dict[str, str],
        *,
        on_model: Callable[[LoadedModel], None],
        on_events: Callable[[Sequence[Event]], None],
    ) -> None:
        """Create a reloader; nothing is loaded yet.

        Args:
            settings: paths to watch.
            problems: message of each current problem, by its source; the reloader adds and removes entries.
            on_model: receives a new model, or the same model with new rules.
            on_events: receives the feedback that any replica stored since the last `load_changes` and, if
                items that were shown are held back, the exposures.
        """
        self._settings = settings
        self._problems = problems
        self._on_model, self._on_events = on_model, on_events
        self._model: LoadedModel | None = None
        self._rules = ShopRules()
        self._model_watcher = ChangeDetector(settings.model)
        self._rules_watcher = None if settings.availability is None else ChangeDetector(settings.availability)
        self._event_tails = _open_event_tails(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._threads = (
            self._create_thread("reload", self._load_files, POLL_INTERVAL_S),
            self._create_thread("events", self._read_events, EVENT_POLL_INTERVAL_S),
        )

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load changes in the background from now on; run the callbacks on `loop`."""
        self._loop = loop
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop the background threads, and wait for their end for at most `timeout_s` seconds each."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def load_changes(self) -> None:
        """Load everything that has changed since the last call; events that cannot be read are a problem."""
        self._load_files()
        self._attempt("events", self._read_events)

    def _create_thread(self, task: str, work: Callable[[], None], interval_s: float) -> threading.Thread:
        return threading.Thread(
            target=self._repeat, args=(task, work, interval_s), name=f"marquee-{task}", daemon=True
        )

    def _repeat(self, task: str, work: Callable[[], None], interval_s: float) -> None:
        """Work at intervals until the reloader is stopped; `task` names its problems."""
        while not self._stop.wait(interval_s):
            self._attempt(task, work)

    def _attempt(self, task: str, work: Callable[[], None]) -> None:
        """Work once; an error becomes the problem of the task."""
        try:
            work()
        except Exception as error:
            if self._problems.get(task) != repr(error):  # log each problem once, not at every interval
                self._problems[task] = repr(error)
                log.exception("reload failed", task=task)
        else:
            self._problems.pop(task, None)

    def _load_files(self) -> None:
        """Load the model and the rules if their files have changed."""
        has_new_rules = self._rules_watcher is not None and self._rules_watcher.detect_change()
        if has_new_rules and self._model is None:
            self._load_rules()  # first, so that no item is shown that they hide
            has_new_rules = False
        if self._model_watcher.detect_change():
            self._load_model()
            has_new_rules |= RULES in self._problems  # they may fit the new model
        if has_new_rules and self._model is not None:
            self._load_rules()

    def _load_model(self) -> None:
        try:
            model = LoadedModel.load(self._settings.model, self._rules)
            warm_up(model)
        except ModelError as error:
            if self._problems.get("model") != str(error):
                has_model = self._model is not None
                log.error("model not loaded", reason=str(error), keeps_serving=has_model)  # noqa: TRY400
            self._problems["model"] = str(error)
        else:
            self._problems.pop("model", None)
            self._report_rules(model.recommender)
            self._publish_model(model)
            log.info("model loaded", version=model.version, digest=model.fitted_model.digest[:12])

    @staticmethod
    def _create_recommender(model: LoadedModel, rules: ShopRules, path: Path) -> Recommender:
        """Return the recommender of a model with other rules.

        Raises:
            ConfigError: the rules do not fit the model.
        """
        recommender = Recommender(model.fitted_model, rules)
        for problem in recommender.compiled_rules.problems:
            raise ConfigError(f"{path}: {problem}")
        return recommender

    def _load_rules(self) -> None:
        """Load the rules; if they are invalid or do not fit the model, the last valid rules stay in force."""
        assert self._rules_watcher is not None
        path = self._rules_watcher.path
        try:
            rules = read_shop_rules(path)
            recommender = None if self._model is None else self._create_recommender(self._model, rules, path)
        except ConfigError as error:
            self._problems[RULES] = str(error)
            log.error("rules not loaded", reason=str(error))  # noqa: TRY400
        else:
            self._problems.pop(RULES, None)
            self._rules = rules
            if self._model is not None and recommender is not None:
                self._publish_model(replace(self._model, recommender=recommender))

    def _report_rules(self, recommender: Recommender) -> None:
        """Report the rules that do not fit a new model, which is served without them."""
        if problems := recommender.compiled_rules.problems:
            self._problems[RULES] = f"{self._settings.availability}: {problems[0]}"
            log.error("rule not applied", reason=self._problems[RULES])
        else:
            self._problems.pop(RULES, None)

    def _read_events(self) -> None:
        errors: list[str] = []
        tails = (yield_until_os_error(tail.poll(), errors) for tail in self._event_tails)
        if events := [event for tail in tails for event in tail]:
            self._run_on_loop(lambda: self._on_events(events))
        if errors:  # only now, because the tails will not yield these events again
            raise OSError("; ".join(errors))

    def _publish_model(self, model: LoadedModel) -> None:
        self._model = model
        self._run_on_loop(lambda: self._on_model(model))

    def _run_on_loop(self, callback: Callable[[], None]) -> None:
        if self._loop is None:
            callback()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)


def _open_event_tails(settings: Settings) -> tuple[EventTail, ...]:
    """Return a tail of the feedback and, if items that were shown are held back, one of the exposures."""
    if not settings.telemetry:
        return ()
    feedback = EventTail(settings.events)
    if settings.repeat_after is None:
        return (feedback,)
    since = time.time() - 60 * settings.repeat_after
    return feedback, EventTail(settings.events, "exposure", since)
