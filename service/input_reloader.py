"""Reloading of a replica's inputs from disk: the model, availability rules, and other replicas' feedback."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from marquee.errors import ConfigError, ModelError
from marquee.events import Feedback
from service import logs
from service.file_changes import ChangeDetector
from service.recommendation.availability import AvailabilityPolicy, read_policy
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import Recommender
from service.recommendation.warm_up import warm_up
from service.settings import Settings
from service.telemetry import EventTail

POLL_INTERVAL_S = 1.0
log = logs.get_logger("reloader")


class InputReloader:
    """Detects changes on disk and loads them.

    Slow work (reading and verifying a model) happens in the background thread. The callbacks run on the event
    loop, between two requests; before `start`, they run at once in the thread that calls `load_changes`.
    """

    def __init__(
        self,
        settings: Settings,
        problems: dict[str, str],
        *,
        on_model: Callable[[LoadedModel], None],
        on_feedback: Callable[[Sequence[Feedback]], None],
    ) -> None:
        """Create a reloader; nothing is loaded yet.

        Args:
            settings: paths to watch.
            problems: message of each current problem, by its source; the reloader adds and removes entries.
            on_model: receives a new model, or the same model with new availability rules.
            on_feedback: receives the feedback that any replica stored since the last `load_changes`.
        """
        self._settings = settings
        self._problems = problems
        self._on_model, self._on_feedback = on_model, on_feedback
        self._model: LoadedModel | None = None
        self._policy = AvailabilityPolicy()
        self._model_watcher = ChangeDetector(settings.model)
        self._policy_watcher = (
            None if settings.availability is None else ChangeDetector(settings.availability)
        )
        self._event_tail = EventTail(settings.events) if settings.telemetry else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="marquee-reloader", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load changes in the background from now on; run the callbacks on `loop`."""
        self._loop = loop
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop the background thread, and wait for its end for at most `timeout_s` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def load_changes(self) -> None:
        """Load everything that has changed since the last call."""
        has_new_policy = self._policy_watcher is not None and self._policy_watcher.detect_change()
        if has_new_policy:
            self._load_policy()
        if self._model_watcher.detect_change():
            self._load_model()
        elif has_new_policy and self._model is not None:
            recommender = Recommender(self._model.fitted_model, self._policy)
            self._publish_model(replace(self._model, recommender=recommender))
        self._read_feedback()

    def _run(self) -> None:
        while not self._stop.wait(POLL_INTERVAL_S):
            try:
                self.load_changes()
            except Exception as error:
                if self._problems.get("reload") != repr(error):  # log each problem once, not every second
                    self._problems["reload"] = repr(error)
                    log.exception("reload failed")
            else:
                self._problems.pop("reload", None)

    def _load_model(self) -> None:
        try:
            model = LoadedModel.load(self._settings.model, self._policy)
            warm_up(model)
        except ModelError as error:
            if self._problems.get("model") != str(error):
                has_model = self._model is not None
                log.error("model not loaded", reason=str(error), keeps_serving=has_model)  # noqa: TRY400
            self._problems["model"] = str(error)
        else:
            self._problems.pop("model", None)
            self._publish_model(model)
            log.info("model loaded", version=model.version, digest=model.fitted_model.digest[:12])

    def _load_policy(self) -> None:
        assert self._policy_watcher is not None
        try:
            self._policy = read_policy(self._policy_watcher.path)
        except ConfigError as error:
            self._problems["availability"] = str(error)
            log.error("availability rules not loaded", reason=str(error))  # noqa: TRY400
        else:
            self._problems.pop("availability", None)

    def _read_feedback(self) -> None:
        if self._event_tail is None:
            return
        feedback = [event for event in self._event_tail.poll() if isinstance(event, Feedback)]
        if feedback:
            self._run_on_loop(lambda: self._on_feedback(feedback))

    def _publish_model(self, model: LoadedModel) -> None:
        self._model = model
        self._run_on_loop(lambda: self._on_model(model))

    def _run_on_loop(self, callback: Callable[[], None]) -> None:
        if self._loop is None:
            callback()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)
