"""Metrics scraper: reads the counters of the replicas from /metrics and computes rates and latencies."""

import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.stack.health_checks import fetch
from service.stack.stack_config import StackConfig

SCRAPE_TIMEOUT_S = 1.0
LABELS = ("le", "status", "outcome")  # a sample has at most one; values of other labels are added up
Counters: TypeAlias = Mapping[tuple[str, str], float]  # by metric name and label value


@dataclass(frozen=True)
class Scrape:
    """Counters of one replica at one moment."""

    time: float  # monotonic seconds
    counters: Counters


@dataclass(frozen=True)
class ServingStats:
    """Statistics of the requests between two scrapes, and event counters."""

    requests_per_s: float
    p50_ms: float  # this and p99_ms are NaN without requests
    p99_ms: float
    error_rate: float
    durable_events: int  # since the replicas started
    dropped_events: int


def scrape_replicas(stack: StackConfig) -> dict[str, Scrape | None]:
    """Scrape all replicas concurrently; return the scrapes by name, None if a replica does not respond."""
    ports = {replica.name: replica.port for replica in stack.all_replicas}
    with ThreadPoolExecutor(max(len(ports), 1)) as pool:
        return dict(zip(ports, pool.map(_scrape, ports.values()), strict=True))


def stats_between_scrapes(before: Iterable[Scrape | None], after: Iterable[Scrape | None]) -> ServingStats:
    """Return the statistics of one or several replicas between two scrapes of each."""
    pairs = [
        (old, new) for old, new in zip(before, after, strict=True) if old is not None and new is not None
    ]
    seconds = max((new.time - old.time for old, new in pairs), default=0.0)
    increases = _sum_counters(_increase(old.counters, new.counters) for old, new in pairs)
    totals = _sum_counters(new.counters for _, new in pairs)
    requests = _select(increases, "marquee_requests_total")
    n_requests = sum(requests.values())
    n_errors = sum(count for status, count in requests.items() if status.startswith("5"))
    latencies = _select(increases, "marquee_request_seconds_bucket")
    return ServingStats(
        requests_per_s=n_requests / seconds if seconds else 0.0,
        p50_ms=1000 * histogram_quantile(latencies, 0.5),
        p99_ms=1000 * histogram_quantile(latencies, 0.99),
        error_rate=n_errors / n_requests if n_requests else 0.0,
        durable_events=int(totals.get(("marquee_events_total", "durable"), 0)),
        dropped_events=int(totals.get(("marquee_events_total", "dropped"), 0)),
    )


def histogram_quantile(cumulative_counts: Mapping[str, float], level: float) -> float:
    """Estimate a quantile of a Prometheus histogram, with linear interpolation within a bucket.

    Args:
        cumulative_counts: observations up to each bucket's upper bound (`le`).
        level: probability of the quantile, between 0 and 1.

    Returns:
        The quantile, at most the last finite bound; NaN if the histogram is empty.
    """
    buckets = sorted((float(bound), count) for bound, count in cumulative_counts.items())
    if not buckets or buckets[-1][1] == 0:
        return math.nan
    rank, lower_bound, count_below = level * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound) or count == count_below:
                return lower_bound
            return lower_bound + (bound - lower_bound) * (rank - count_below) / (count - count_below)
        lower_bound, count_below = bound, count
    return lower_bound


def _scrape(port: int) -> Scrape | None:
    response = fetch(port, "/metrics", SCRAPE_TIMEOUT_S)
    if response is None:
        return None
    families = text_string_to_metric_families(response[1].decode())
    return Scrape(time.monotonic(), _sum_counters(_read_samples(family) for family in families))


def _read_samples(family: Metric) -> Counters:
    counters: dict[tuple[str, str], float] = {}
    for sample in family.samples:
        label = next((sample.labels[name] for name in LABELS if sample.labels.get(name)), "")
        key = (sample.name, label)
        counters[key] = counters.get(key, 0.0) + sample.value
    return counters


def _sum_counters(parts: Iterable[Counters]) -> dict[tuple[str, str], float]:
    total: dict[tuple[str, str], float] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    return total


def _increase(old: Counters, new: Counters) -> Counters:
    """Return how much each counter has grown; 0 if it is lower, because the replica was restarted."""
    return {key: max(value - old.get(key, 0.0), 0.0) for key, value in new.items()}


def _select(counters: Counters, name: str) -> dict[str, float]:
    """Return the counters of one metric by label value."""
    return {label: value for (metric, label), value in counters.items() if metric == name}
