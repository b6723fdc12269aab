"""What the replicas count, taken from their /metrics: rates and quantiles between two looks."""

import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from service.stack.health_checks import get
from service.stack.stack_config import Stack

PATIENCE_S = 1.0
Counts = Mapping[tuple[str, str], float]  # by name of the sample, and a label of it


@dataclass(frozen=True)
class Sample:
    """One replica's counters at one moment."""

    at: float
    counts: Counts


@dataclass(frozen=True)
class Rates:
    """Between two samples."""

    requests_per_s: float
    p50_ms: float  # NaN without a request
    p99_ms: float
    error_rate: float
    written: int  # events on disk since the replica started
    dropped: int


def samples_of(stack: Stack) -> dict[str, Sample | None]:
    """Every replica's; None for who does not answer."""
    ports = {server.name: server.port for servers in stack.replicas.values() for server in servers}
    with ThreadPoolExecutor(max(len(ports), 1)) as pool:
        return dict(zip(ports, pool.map(_sample, ports.values()), strict=True))


def _sample(port: int) -> Sample | None:
    answer = get(port, "/metrics", PATIENCE_S)
    if answer is None:
        return None
    counts: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(answer[1].decode()):
        for sample in family.samples:
            label = (
                sample.labels.get("le") or sample.labels.get("status") or sample.labels.get("outcome") or ""
            )
            key = (sample.name, label)
            counts[key] = counts.get(key, 0.0) + sample.value
    return Sample(time.monotonic(), counts)


def rates(before: Iterable[Sample | None], after: Iterable[Sample | None]) -> Rates:
    """Of one replica or of several together."""
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    seconds = max((b.at - a.at for a, b in pairs), default=0.0)
    more: dict[tuple[str, str], float] = {}
    whole: dict[tuple[str, str], float] = {}
    for a, b in pairs:
        for key, value in b.counts.items():
            # A replica that was started anew counts from nothing.
            more[key] = more.get(key, 0.0) + max(value - a.counts.get(key, 0.0), 0.0)
            whole[key] = whole.get(key, 0.0) + value
    answers = {label: value for (name, label), value in more.items() if name == "marquee_requests_total"}
    total = sum(answers.values())
    errors = sum(value for label, value in answers.items() if label.startswith("5"))
    times = {
        label: value for (name, label), value in more.items() if name == "marquee_request_seconds_bucket"
    }
    return Rates(
        requests_per_s=total / seconds if seconds else 0.0,
        p50_ms=1000 * quantile(times, 0.5),
        p99_ms=1000 * quantile(times, 0.99),
        error_rate=errors / total if total else 0.0,
        written=int(whole.get(("marquee_events_total", "durable"), 0)),
        dropped=int(whole.get(("marquee_events_total", "dropped"), 0)),
    )


def quantile(cumulated: Mapping[str, float], share: float) -> float:
    """Of a histogram, by its cumulated buckets; straight between two bounds, NaN where it is empty."""
    rows = sorted((float(bound), count) for bound, count in cumulated.items())
    if not rows or rows[-1][1] == 0:
        return math.nan
    wanted, low, below = share * rows[-1][1], 0.0, 0.0
    for bound, count in rows:
        if count >= wanted:
            if math.isinf(bound) or count == below:
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
