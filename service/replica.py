"""State of one replica: the served model, recent activity, cached responses, metrics and the event writer.

Only the thread of the event loop accesses this state, except `problems`, which the reloader's background
thread updates itself. That thread changes everything else through callbacks that run on the loop.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

from marquee.events import Event, Exposure, ExposureTemplate, Feedback
from service.api.response_cache import ResponseCache
from service.input_reloader import InputReloader
from service.metrics import (
    MetricFamily,
    ReplicaMetrics,
    collect_telemetry_metrics,
    make_gauge_metric,
    make_info_metric,
)
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recent_activity import RecentActivity
from service.recommendation.recommender import UserContext
from service.recommendation.shown_items import ShownItems
from service.recommendation.user_context import build_user_context
from service.settings import Settings
from service.telemetry import EventWriter, TelemetrySettings


class NotReady(Exception):
    """No model is loaded; the message gives the reason."""


class Replica:
    """One serving process.

    Attributes:
        settings: settings with which the replica was started.
        loaded_model: the model being served, or None.
        problems: message of each current problem, by its source.
        recent_activity: user activity since training.
        shown_items: items that were shown to users lately; None if items are not held back.
        response_cache: encoded responses of the hot route.
        metrics: counters for /metrics.
        event_writer: writer of exposures and feedback; None if telemetry is off.
        reloader: keeps the model, availability rules and recent activity up to date.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loaded_model: LoadedModel | None = None
        self.problems: dict[str, str] = {}
        self.recent_activity = RecentActivity()
        self.shown_items = None if settings.repeat_after is None else ShownItems(60 * settings.repeat_after)
        self.response_cache = ResponseCache()
        self.metrics = ReplicaMetrics()
        self.metrics.register_source(self._state_metrics)
        self.event_writer: EventWriter | None = None
        if settings.telemetry:
            self.event_writer = EventWriter(
                TelemetrySettings(folder=settings.events, replica=settings.replica)
            )
        self.reloader = InputReloader(
            settings, self.problems, on_model=self._replace_model, on_events=self._apply_stored_events
        )

    @property
    def is_ready(self) -> bool:
        """True if a model is loaded."""
        return self.loaded_model is not None

    def start(self) -> None:
        """Start the event writer and load the model.

        If the model cannot be loaded, the replica runs but is not ready, and health checks report why.
        """
        if self.event_writer is not None:
            self.event_writer.start()
        self.reloader.load_changes()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Reload changes in the background while the `async with` block runs, then close the replica."""
        self.reloader.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            self.close()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop reloading and write all queued events to disk."""
        self.reloader.stop(timeout_s)
        if self.event_writer is not None:
            self.event_writer.close(timeout_s)

    def require_loaded_model(self) -> LoadedModel:
        """Return the model being served.

        Raises:
            NotReady: no model is loaded.
        """
        if self.loaded_model is None:
            raise NotReady(self.problems.get("model", "no model is loaded yet"))
        return self.loaded_model

    def describe_health(self) -> dict[str, object]:
        """Return the state of telemetry and the current problems."""
        telemetry = "off" if self.event_writer is None else self.event_writer.write_status
        return {"telemetry": telemetry, "problems": self.problems}

    def build_user_context(self, model: LoadedModel, user: str) -> UserContext:
        """Return a user's inner id in a model, and their activity since it was trained."""
        shown = () if self.shown_items is None else self.shown_items.held_back_items(user, time.time())
        return build_user_context(model.fitted_model, user, self.recent_activity.events_by_item(user), shown)

    def record_exposure(
        self, event: ExposureTemplate, request_id: bytes, fallback_level: str, seconds: float
    ) -> None:
        """Count a recommendation response and queue its exposure; never blocks."""
        self.metrics.count_recommendation(fallback_level)
        if self.event_writer is not None:
            self.event_writer.offer_exposure(event.render(request_id, time.time(), seconds * 1e6))

    def record_activity(self, events: Iterable[Feedback]) -> None:
        """Add feedback to recent activity and drop the cached responses of its users."""
        for event in events:
            if self.recent_activity.record(event):
                self.response_cache.drop(event.user)

    def _apply_stored_events(self, events: Sequence[Event]) -> None:
        """Record events read from disk; reading this replica's own events again changes nothing."""
        assert self.event_writer is not None
        feedback = [event for event in events if isinstance(event, Feedback)]
        self.event_writer.remember_event_ids(event.event_id for event in feedback)
        self.record_activity(feedback)
        if self.shown_items is not None:
            for event in events:
                if isinstance(event, Exposure) and event.user is not None:
                    self.shown_items.record(event.user, event.items, event.time)

    def _replace_model(self, model: LoadedModel) -> None:
        self.loaded_model = model
        self.response_cache.clear()

    def _state_metrics(self) -> Iterator[MetricFamily]:
        if self.loaded_model is not None:
            version, digest = self.loaded_model.version, self.loaded_model.fitted_model.digest
            yield make_info_metric("marquee_model", "Loaded model.", version=version, digest=digest)
        yield make_gauge_metric("marquee_ready", "1 if a model is loaded.", float(self.is_ready))
        n_users = len(self.recent_activity)
        yield make_gauge_metric("marquee_recent_users", "Users with activity since training.", n_users)
        n_problems = len(self.problems)
        yield make_gauge_metric("marquee_problems", "Current problems.", n_problems)
        if self.event_writer is not None:
            yield from collect_telemetry_metrics(self.event_writer)
