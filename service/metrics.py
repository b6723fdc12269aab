"""Metrics of one replica in Prometheus format, with a bounded set of label values.

A counter of `prometheus_client` takes a lock and a microsecond per update. The counters here are plain
integers, written only by the thread of the event loop and converted when /metrics is requested.
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

from service.telemetry import EventWriter, KindCounters

MetricFamily: TypeAlias = Metric
MetricSource = Callable[[], Iterable[MetricFamily]]
BUCKET_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)  # seconds


@dataclass
class _Histogram:
    """Histogram of durations in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKET_BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKET_BOUNDS, seconds)] += 1
        self.total += seconds

    def cumulative_buckets(self) -> list[tuple[str, float]]:
        """Return each upper bound with the number of durations up to it."""
        buckets, cumulative = [], 0
        for bound, count in zip((*map(str, BUCKET_BOUNDS), "+Inf"), self.counts, strict=True):
            cumulative += count
            buckets.append((bound, float(cumulative)))
        return buckets


class ReplicaMetrics(Collector):
    """Request metrics of one replica, together with the metrics of registered sources."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, _Histogram] = {}
        self._recommendations: Counter[str] = Counter()
        self._sources: list[MetricSource] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def record_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request and its duration.

        Args:
            route: path template; never a path, which may contain a user id.
            status: status of the response.
            seconds: time from receiving the request to the response.
        """
        self._requests[route, status] += 1
        durations = self._durations.get(route)
        if durations is None:
            durations = self._durations[route] = _Histogram()
        durations.add(seconds)

    def count_recommendation(self, fallback_level: str) -> None:
        """Count a recommendation response by its fallback level."""
        self._recommendations[fallback_level] += 1

    def register_source(self, source: MetricSource) -> None:
        """Add a source of further metrics; it is called on each request to /metrics."""
        self._sources.append(source)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[MetricFamily]:
        """Yield all metrics; called by the registry of `prometheus_client`."""
        requests = CounterMetricFamily("marquee_requests", "Responses sent.", labels=("route", "status"))
        for (route, status), count in sorted(self._requests.items()):
            requests.add_metric((route, str(status)), count)
        yield requests
        durations = HistogramMetricFamily(
            "marquee_request_seconds", "Time from receiving a request to the response.", labels=("route",)
        )
        for route, histogram in sorted(self._durations.items()):
            durations.add_metric((route,), histogram.cumulative_buckets(), histogram.total)
        yield durations
        recommendations = CounterMetricFamily(
            "marquee_recommendations", "Recommendations by fallback level.", labels=("fallback_level",)
        )
        for level, count in sorted(self._recommendations.items()):
            recommendations.add_metric((level,), count)
        yield recommendations
        for source in self._sources:
            yield from source()


def collect_telemetry_metrics(writer: EventWriter) -> Iterator[MetricFamily]:
    """Yield the event counters of a writer and the state of its disk."""
    counters = writer.snapshot_counters()
    events = CounterMetricFamily(
        "marquee_events",
        "Events by outcome: offered = durable + rejected + dropped + queued.",
        labels=("kind", "outcome"),
    )
    queued = GaugeMetricFamily("marquee_events_queued", "Events not yet on disk.", labels=("kind",))
    for kind in ("exposure", "feedback"):
        kind_counters: KindCounters = getattr(counters, kind)
        for outcome in ("offered", "durable", "rejected", "dropped"):
            events.add_metric((kind, outcome), getattr(kind_counters, outcome))
        queued.add_metric((kind,), kind_counters.queued)
    yield events
    yield queued
    is_failing = float(writer.write_status != "ok")
    yield make_gauge_metric("marquee_events_failing", "1 while events cannot be written to disk.", is_failing)


def make_info_metric(name: str, description: str, **labels: str) -> MetricFamily:
    """Create a metric that consists of labels only."""
    return InfoMetricFamily(name, description, value=labels)


def make_gauge_metric(name: str, description: str, value: float) -> MetricFamily:
    """Create a metric whose value can rise and fall."""
    return GaugeMetricFamily(name, description, value=value)
