"""What /metrics shows: counts and times of requests, rungs and events, with a bounded set of labels.

Prometheus' own counters take a lock and a microsecond each; these are plain integers that the event loop's
thread alone writes, turned into Prometheus' format when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.telemetry import EventWriter, Kept

Measured: TypeAlias = Metric
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)  # seconds


@dataclass
class _Times:
    """A histogram of seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def cumulated(self) -> list[tuple[str, float]]:
        count, rows = 0, []
        for bound, here in zip((*map(str, BOUNDS), "+Inf"), self.buckets, strict=True):
            count += here
            rows.append((bound, float(count)))
        return rows


Source = Callable[[], Iterable[Measured]]


class Observed(Collector):
    """Counts of one replica."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._times: dict[str, _Times] = {}
        self._rungs: Counter[str] = Counter()
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request of one of the routes of the API (never its path: a path names a user)."""
        self._requests[route, status] += 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = _Times()
        times.add(seconds)

    def rung(self, name: str) -> None:
        """Count an answer that stands on a rung."""
        self._rungs[name] += 1

    def add(self, source: Source) -> None:
        """Show what somebody else counts."""
        self._sources.append(source)

    def page(self) -> bytes:
        """The text of /metrics."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Measured]:
        """Everything counted, in Prometheus' terms."""
        requests = CounterMetricFamily("marquee_requests", "Requests answered.", labels=("route", "status"))
        for (route, status), count in sorted(self._requests.items()):
            requests.add_metric((route, str(status)), count)
        yield requests
        times = HistogramMetricFamily(
            "marquee_request_seconds", "Time from the first byte read to the answer.", labels=("route",)
        )
        for route, each in sorted(self._times.items()):
            times.add_metric((route,), each.cumulated(), each.total)
        yield times
        rungs = CounterMetricFamily(
            "marquee_recommendations", "Recommendations, by the rung they stand on.", labels=("rung",)
        )
        for name, count in sorted(self._rungs.items()):
            rungs.add_metric((name,), count)
        yield rungs
        for source in self._sources:
            yield from source()


def telemetry_metrics(writer: EventWriter) -> Iterator[Measured]:
    """The writer's books, and whether the disk takes what it is given."""
    books, outcomes = writer.books(), ("offered", "durable", "rejected", "dropped")
    events = CounterMetricFamily(
        "marquee_events",
        "What became of events: offered = durable + rejected + dropped + queued.",
        labels=("kind", "outcome"),
    )
    queued = GaugeMetricFamily("marquee_events_queued", "Events on their way to disk.", labels=("kind",))
    for kind in ("exposure", "feedback"):
        kept: Kept = getattr(books, kind)
        for outcome in outcomes:
            events.add_metric((kind, outcome), getattr(kept, outcome))
        queued.add_metric((kind,), kept.queued)
    yield events
    yield queued
    yield gauge("marquee_events_failing", "Whether events cannot be written.", float(writer.state() != "ok"))


def info(name: str, about: str, **values: str) -> Measured:
    """A thing with labels and no number."""
    return InfoMetricFamily(name, about, value=values)


def gauge(name: str, about: str, value: float) -> Measured:
    """A number that goes up and down."""
    return GaugeMetricFamily(name, about, value=value)
