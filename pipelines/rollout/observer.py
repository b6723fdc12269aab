"""Observer of a rollout: turns events, failures and the state of the replicas into evidence."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import chain, islice
from pathlib import Path

from experiments.config.online import CanaryParams
from marquee.events import Event, Exposure, Feedback
from marquee.finite_values import drop_non_finite
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.arms import CANARY
from marquee.rollout.decision_types import ReasonCode
from marquee.rollout.evidence import Evidence, EvidenceGap, RolloutConditions
from marquee.rollout.observation_collector import Failure, ObservationCollector
from marquee.rollout.state import Rollout
from pipelines.rollout import observer_checkpoint
from pipelines.rollout.params_conversion import build_empty_collector, build_policy
from service.gateway.failure_log import FailureLog
from service.gateway.haproxy_config import GatewayConfig
from service.gateway.haproxy_socket import ServerState, query_servers
from service.stack.pid_files import count_starts
from service.stack.stack_config import StackConfig
from service.telemetry import EventTail, yield_until_os_error

# After a longer gap between two observations, for example a restart of the controller, the canary counts as
# unavailable during the gap unless the gateways show that it was up.
MAX_OBSERVATION_GAP_S = 5.0
EVENTS_PER_BATCH = 2_000
# Time limit for reading events in one observation. After a restart there may be hours of events, and an alarm
# must not wait until all of them have been read.
MAX_READING_S = 2.0
MIN_STEP_S = 1e-9  # avoids division by zero
MAX_OUTAGE_SHARE = 0.5  # of a step; after longer outages, the data of the step is not conclusive
CHECKPOINT_FILE = "checkpoint"
MIN_CHECKPOINT_INTERVAL_S = 30.0
MIN_CHECKPOINT_INTERVAL_RATIO = 20  # of the interval to the time it took to write the previous checkpoint
log = logging.getLogger("controller")


@dataclass
class ObserverCounts:
    """Counts of a rollout, and the positions up to which its events have been read; saved as a checkpoint."""

    accumulator: EvidenceAccumulator
    collector: ObservationCollector
    event_tails: Sequence[EventTail]
    failure_logs: Sequence[FailureLog]
    n_steps: int = 0  # started in the collector
    n_confirmations: int = 0  # of allocations, passed to the collector
    processed_until: float = 0.0  # UTC seconds; all earlier events are in the counts


def build_empty_counts(
    stack: StackConfig, rollout: Rollout, params: CanaryParams, popularity: Mapping[str, float]
) -> ObserverCounts:
    """Return the counts of a rollout before any event is read."""
    accumulator = EvidenceAccumulator(build_policy(params))
    return ObserverCounts(
        accumulator,
        build_empty_collector(params, accumulator, popularity),
        [EventTail(stack.events, kind, rollout.started_at) for kind in ("exposure", "feedback")],
        [FailureLog(gateway.failure_log_path(stack.folder), stack.slow_ms) for gateway in stack.gateways],
    )


class RolloutObserver:
    """Observer of one rollout since its start.

    Counts are saved in a checkpoint at intervals. After a restart of the controller, events since then are
    read again in chronological order, some of them in each observation.
    """

    def __init__(
        self,
        stack: StackConfig,
        rollout: Rollout,
        params: CanaryParams,
        popularity: Mapping[str, float],
        last_observed_at: float,
        *,
        query_servers: Callable[[Path, GatewayConfig], list[ServerState] | None] = query_servers,
        build_counts: Callable[[], ObserverCounts] | None = None,
        clock: Callable[[], float] = time.monotonic,
        events_per_batch: int = EVENTS_PER_BATCH,
    ) -> None:
        """Start from the checkpoint or, without one, from the beginning of the rollout.

        Args:
            stack: stack on which the rollout is running.
            rollout: rollout to observe.
            params: parameters of the rollout.
            popularity: share of all ratings by item.
            last_observed_at: time of the last observation by any controller, in UTC seconds.
            query_servers: returns the state of all replicas as seen by a gateway.
            build_counts: returns empty counts whose events are read from the beginning; by default those of
                `build_empty_counts`.
            clock: returns monotonic time in seconds.
            events_per_batch: number of events that are processed at once.
        """
        self.policy = build_policy(params)
        self._stack = stack
        self._rollout_name = rollout.name
        self._last_observed_at = last_observed_at
        self._query_servers = query_servers
        self._build_counts = build_counts or partial(build_empty_counts, stack, rollout, params, popularity)
        self._clock = clock
        self._events_per_batch = events_per_batch
        self._responses: list[list[ServerState]] = []  # of the gateways that responded to the last query
        self._unhealthy_seconds = 0.0  # in a row, without a healthy replica of the canary
        self._checkpoint_file = stack.folder / CHECKPOINT_FILE
        self._checkpoint_saved_at, self._checkpoint_duration_s = clock(), 0.0
        self._reset_counts()
        saved = observer_checkpoint.load(self._checkpoint_file, rollout.name)
        if isinstance(saved, ObserverCounts):
            self._counts = saved

    def _reset_counts(self) -> None:
        """Discard all counts, so that all events are read again."""
        self._counts = self._build_counts()
        self._unprocessed: Iterator[Event | Failure] | None = None  # events that are being read
        self._read_errors: list[str] = []

    @property
    def metrics_to_report(self) -> dict[str, float]:
        """Mean outcomes, quality difference with interval, and list counts; unknown values are omitted."""
        accumulator = self._counts.accumulator
        means, quality = accumulator.mean_outcomes, accumulator.quality_interval
        metrics = {"mean_stable": means.stable, "mean_canary": means.canary}
        metrics |= {"estimate": quality.estimate, "low": quality.low, "high": quality.high}
        metrics |= {f"lists_{arm}": count for arm, count in self._counts.collector.list_counts.items()}
        return drop_non_finite({name: float(value) for name, value in metrics.items()})

    def query_unavailable_since(self, now: float) -> float | None:
        """Query the gateways for the canary's replicas, and update how long the canary has been unhealthy.

        After a gap between observations, a replica must have been up during the whole gap.

        Returns:
            The time of the previous observation if the canary may have been unavailable since then; None if
            all gateways that respond report a healthy replica of it.
        """
        previous, self._last_observed_at = self._last_observed_at, now
        elapsed = now - previous
        responses = (self._query_servers(self._stack.folder, gateway) for gateway in self._stack.gateways)
        self._responses = [servers for servers in responses if servers]
        if has_healthy_canary(chain.from_iterable(self._responses)):
            self._unhealthy_seconds = 0.0
        elif self._responses:
            self._unhealthy_seconds += min(elapsed, MAX_OBSERVATION_GAP_S)
        gap = elapsed if elapsed > MAX_OBSERVATION_GAP_S else 0.0
        is_available = bool(self._responses) and all(
            has_healthy_canary(servers, min_seconds_up=gap) for servers in self._responses
        )
        return None if is_available else previous

    def collect_evidence(self, rollout: Rollout, now: float) -> Evidence:
        """Read new events and return the evidence; call `query_unavailable_since` first."""
        gaps = self._update_counts(rollout, now)
        if not self._responses:
            gaps.append(EvidenceGap(ReasonCode.GATEWAY_UNRESPONSIVE, "no gateway responds"))
        if compute_step_outage_share(rollout, now) > MAX_OUTAGE_SHARE:
            message = "the canary was unavailable during most of this step"
            gaps.append(EvidenceGap(ReasonCode.CANARY_OUTAGE, message))
        return self._counts.accumulator.evidence(
            RolloutConditions(
                step=max(rollout.step, 0),
                step_seconds=now - rollout.step_started_at,
                rollout_seconds=now - rollout.started_at,
                data_age_seconds=self._counts.collector.seconds_since_last_response(now),
                restarts=self._count_restarts(since=rollout.step_started_at),
                unhealthy_seconds=self._unhealthy_seconds,
                gaps=gaps,
            )
        )

    def _count_restarts(self, since: float) -> int:
        replicas = self._stack.replicas[CANARY]
        return sum(count_starts(self._stack.folder, replica.name, since) for replica in replicas)

    def _update_counts(self, rollout: Rollout, now: float) -> list[EvidenceGap]:
        """Process changes of the allocation and new events; return a gap for everything that failed.

        A source that cannot be read does not disable alarms that use other sources. If processing itself
        fails, some events may have been counted incompletely, so all events are read again.
        """
        try:
            self._update_steps(rollout)
            return self._process_new_events(now)
        except Exception as error:  # a defect here must not stop the controller, and with it all alarms
            log.exception("processing events failed; all events are read again")
            self._reset_counts()
            return [EvidenceGap.for_failed_metric(f"{type(error).__name__}: {error}")]

    def _update_steps(self, rollout: Rollout) -> None:
        """Pass outages, new allocations and their confirmations to the collector."""
        counts = self._counts
        counts.collector.exclude_outages(rollout.outages)
        for change in rollout.allocations[counts.n_steps :]:
            counts.collector.start_step(change.time, change.allocation)
        for confirmed_at in rollout.confirmation_times[counts.n_confirmations :]:
            counts.collector.confirm_allocation(confirmed_at)
        counts.n_steps, counts.n_confirmations = len(rollout.allocations), len(rollout.confirmation_times)

    def _process_new_events(self, now: float) -> list[EvidenceGap]:
        """Process new events in batches; if time runs out, the rest is left for the next observation."""
        if self._unprocessed is None:
            self._unprocessed = self._open_sources()
        deadline = self._clock() + MAX_READING_S
        while batch := [*islice(self._unprocessed, self._events_per_batch)]:
            self._process_batch(batch, until=min(self._latest_server_time(batch), now))
            if self._clock() > deadline:
                message = f"still reading events; the last one read is {now - batch[-1].time:.0f} s old"
                return [*self._source_gaps(), EvidenceGap(ReasonCode.CATCHING_UP, message)]
        self._process_batch([], until=now)
        self._unprocessed = None
        self._save_checkpoint()
        return self._source_gaps()

    def _open_sources(self) -> Iterator[Event | Failure]:
        """Return an iterator over all new events and failures, in order of time."""
        self._read_errors = []
        sources: list[Iterator[Event | Failure]] = [
            *(tail.poll() for tail in self._counts.event_tails),
            *(failure_log.poll() for failure_log in self._counts.failure_logs),
        ]
        readable = [yield_until_os_error(source, self._read_errors) for source in sources]
        return merge(*readable, key=lambda event: event.time)

    def _source_gaps(self) -> list[EvidenceGap]:
        return [EvidenceGap.for_failed_metric(error) for error in self._read_errors]

    def _latest_server_time(self, batch: Sequence[Event | Failure]) -> float:
        """Return the time up to which events have been read.

        Feedback is ignored, because its time comes from a client's clock.
        """
        times = [event.time for event in batch if not isinstance(event, Feedback)]
        return max([self._counts.processed_until, *times])

    def _process_batch(self, batch: Sequence[Event | Failure], until: float) -> None:
        self._counts.processed_until = until
        self._counts.collector.process_events(
            [event for event in batch if isinstance(event, Exposure)],
            [event for event in batch if isinstance(event, Feedback)],
            [event for event in batch if isinstance(event, Failure)],
            until,
        )

    def _save_checkpoint(self) -> None:
        """Save a checkpoint, unless the previous one is recent."""
        start = self._clock()
        interval_s = max(
            MIN_CHECKPOINT_INTERVAL_S, MIN_CHECKPOINT_INTERVAL_RATIO * self._checkpoint_duration_s
        )
        if start < self._checkpoint_saved_at + interval_s:
            return
        observer_checkpoint.save(self._checkpoint_file, self._rollout_name, self._counts)
        self._checkpoint_saved_at = self._clock()
        self._checkpoint_duration_s = self._checkpoint_saved_at - start


def compute_step_outage_share(rollout: Rollout, now: float) -> float:
    """Return the share of the current step during which the canary was unavailable."""
    start = rollout.step_started_at
    outage_seconds = sum(
        max(min(outage.end, now) - max(outage.start, start), 0.0) for outage in rollout.outages
    )
    return outage_seconds / max(now - start, MIN_STEP_S)


def has_healthy_canary(servers: Iterable[ServerState], *, min_seconds_up: float = 0.0) -> bool:
    """Return True if a replica of the canary is up and has been up for at least `min_seconds_up`."""
    return any(
        server.is_up
        and server.backend == CANARY
        and not server.name.startswith("backup-")
        and server.seconds_in_state >= min_seconds_up
        for server in servers
    )
