"""Observer of a rollout: outages, unreadable sources, backlogs and checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from experiments.config.online import CanaryParams
from marquee.events import Event, Exposure, Feedback, decode, encode
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.decision_types import ReasonCode
from marquee.rollout.evidence import Evidence, EvidenceGap
from marquee.rollout.observation_collector import Failure
from marquee.rollout.state import AllocationChange, Outage, Rollout
from pipelines.rollout import observer_checkpoint
from pipelines.rollout.observer import (
    EVENTS_PER_BATCH,
    MAX_OBSERVATION_GAP_S,
    MAX_READING_S,
    MIN_CHECKPOINT_INTERVAL_S,
    ObserverCounts,
    RolloutObserver,
    build_empty_counts,
)
from pipelines.rollout.params_conversion import build_empty_collector, build_policy
from service.gateway.failure_log import FailureLog
from service.gateway.haproxy_socket import ServerState
from service.stack.stack_config import StackConfig
from service.telemetry import tail


class ObservedStack:
    """Rollout at 50% that started 100 s ago, with gateways and a clock that are controlled by the test."""

    def __init__(self, stack: StackConfig, params: CanaryParams) -> None:
        self.stack, self.params = stack, params
        self.started_at = time.time() - 100
        self.rollout = Rollout(
            name="r",
            started_at=self.started_at,
            salt=1,
            champion=1,
            challenger=2,
            bento="/b",
            run_id=None,
            allocations=(AllocationChange(self.started_at, 0.5),),
            confirmation_times=(self.started_at,),
        )
        self.is_canary_up: bool | None = True  # None: the gateways do not respond
        self.seconds_in_state = 0
        self.clock_seconds = 0.0
        self.restart_observer()

    def restart_observer(
        self,
        *,
        build_counts: Callable[[], ObserverCounts] | None = None,
        clock: Callable[[], float] | None = None,
        events_per_batch: int = EVENTS_PER_BATCH,
    ) -> None:
        """Create a new observer, as after a restart of the controller."""
        self.observer = RolloutObserver(
            self.stack,
            self.rollout,
            self.params,
            {},
            time.time(),
            query_servers=self._query_servers,
            build_counts=build_counts,
            clock=clock or (lambda: self.clock_seconds),
            events_per_batch=events_per_batch,
        )

    def empty_counts(self) -> ObserverCounts:
        return build_empty_counts(self.stack, self.rollout, self.params, {})

    def _query_servers(self, *_: object) -> list[ServerState] | None:
        if self.is_canary_up is None:
            return None
        return [ServerState("canary", "canary-1", self.is_canary_up, 0, self.seconds_in_state)]

    def observe(self, now: float) -> Evidence:
        self.observer.query_unavailable_since(now)
        return self.observer.collect_evidence(self.rollout, now)

    def write_exposures(self, n_users: int, *, after_s: float = 20.0, arm: str = "stable") -> None:
        """Write an exposure of each user, 10 ms apart, from `after_s` seconds after the start."""
        times = (self.started_at + after_s + number / 100 for number in range(n_users))
        exposures = [
            Exposure(f"r{number}", shown_at, f"{arm}{after_s}-{number}", arm, "m", "personal", ("i1",), 1)
            for number, shown_at in enumerate(times)
        ]
        self._append_events(f"{arm}-1/exposure-1.jsonl.open", exposures)

    def write_feedback(self, feedback: Feedback) -> None:
        self._append_events("stable-1/feedback-1.jsonl.open", [feedback])

    def _append_events(self, name: str, events: list[Exposure] | list[Feedback]) -> None:
        path = self.stack.events / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.writelines(encode(event) + b"\n" for event in events)


@pytest.fixture
def observed(stack: StackConfig, canary_params: CanaryParams) -> ObservedStack:
    return ObservedStack(stack, canary_params)


def gap_reasons(evidence: Evidence) -> list[ReasonCode]:
    return [gap.reason for gap in evidence.gaps]


def test_canary_is_unhealthy_only_while_a_gateway_reports_it(observed: ObservedStack) -> None:
    now = time.time()
    observed.is_canary_up = None
    assert observed.observe(now + 60).unhealthy_seconds == 0
    assert gap_reasons(observed.observe(now + 61)) == [ReasonCode.GATEWAY_UNRESPONSIVE]
    observed.is_canary_up = False
    assert observed.observe(now + 63).unhealthy_seconds == pytest.approx(2, abs=0.1)
    assert observed.observe(now + 64).unhealthy_seconds == pytest.approx(3, abs=0.1)
    observed.is_canary_up = None
    assert observed.observe(now + 65).unhealthy_seconds == pytest.approx(3, abs=0.1)
    observed.is_canary_up = True
    assert observed.observe(now + 66).unhealthy_seconds == 0


def test_gap_in_the_observation_adds_little_unhealthy_time(observed: ObservedStack) -> None:
    observed.observe(time.time())
    observed.is_canary_up = False
    assert observed.observe(time.time() + 3600).unhealthy_seconds <= MAX_OBSERVATION_GAP_S


def test_outage_starts_at_the_previous_observation(observed: ObservedStack) -> None:
    now = time.time()
    assert observed.observer.query_unavailable_since(now + 1) is None
    observed.is_canary_up = False
    assert observed.observer.query_unavailable_since(now + 2) == now + 1
    assert observed.observer.query_unavailable_since(now + 3) == now + 2
    observed.is_canary_up = None
    assert observed.observer.query_unavailable_since(now + 4) == now + 3


def test_canary_must_have_been_up_during_a_gap_in_the_observation(observed: ObservedStack) -> None:
    now = time.time()
    assert observed.observer.query_unavailable_since(now + 1) is None
    observed.seconds_in_state = 30
    assert observed.observer.query_unavailable_since(now + 60) == now + 1
    assert observed.observer.query_unavailable_since(now + 61) is None
    observed.seconds_in_state = 3600
    assert observed.observer.query_unavailable_since(now + 161) is None


def test_step_with_a_long_outage_has_an_evidence_gap(observed: ObservedStack) -> None:
    now = time.time()
    assert observed.observe(now).gaps == ()
    outages = (
        Outage(observed.started_at + 10, observed.started_at + 30),
        Outage(now - 50, math.inf),
    )
    observed.rollout = replace(observed.rollout, outages=outages)
    assert gap_reasons(observed.observe(now)) == [ReasonCode.CANARY_OUTAGE]


def test_users_do_not_enter_the_comparison_during_an_outage(observed: ObservedStack) -> None:
    """For ten seconds stable serves all users, including those of the canary."""
    observed.write_exposures(500, after_s=5.0)
    observed.write_exposures(500, after_s=5.0, arm="canary")
    observed.write_exposures(1000, after_s=30.0)
    assert observed.observe(time.time()).sample_ratio_mismatch.is_alarm
    outage = Outage(observed.started_at + 29, observed.started_at + 41)
    observed.rollout = replace(observed.rollout, outages=(outage,))
    observed.restart_observer()
    mismatch = observed.observe(time.time()).sample_ratio_mismatch
    assert (mismatch.is_alarm, mismatch.total) == (False, 1000)


class UnreadableLog(FailureLog):
    """Failure log on a disk that has been removed."""

    def poll(self) -> Iterator[Failure]:
        raise OSError("the disk is gone")
        yield  # makes this a generator: the error is raised while the log is read, as in `FailureLog`


def test_unreadable_source_is_a_gap_and_other_sources_are_still_read(observed: ObservedStack) -> None:
    observed.write_exposures(30)
    logs = [UnreadableLog(Path("gone"), 100) for _ in range(2)]
    observed.restart_observer(build_counts=lambda: replace(observed.empty_counts(), failure_logs=logs))
    evidence = observed.observe(time.time())
    assert evidence.gaps == (EvidenceGap.for_failed_metric("OSError: the disk is gone"),) * 2
    assert evidence.sample_ratio_mismatch.total == 30


class FailingAccumulator(EvidenceAccumulator):
    """Accumulator that cannot count users."""

    def record_entering_users(self, canary: int, total: int, allocation: float) -> None:
        raise ZeroDivisionError


def test_all_events_are_read_again_after_processing_failed(observed: ObservedStack) -> None:
    accumulator = FailingAccumulator(build_policy(observed.params))
    collector = build_empty_collector(observed.params, accumulator, {})
    failing = iter([replace(observed.empty_counts(), accumulator=accumulator, collector=collector)])
    observed.write_exposures(30)
    observed.restart_observer(build_counts=lambda: next(failing, None) or observed.empty_counts())
    (gap,) = observed.observe(time.time()).gaps
    assert gap.reason == ReasonCode.METRIC_FAILED
    assert "ZeroDivisionError" in gap.message
    evidence = observed.observe(time.time())
    assert evidence.gaps == ()
    assert evidence.sample_ratio_mismatch.total == 30


def test_backlog_is_read_in_parts_in_order_of_time(observed: ObservedStack) -> None:
    """If sources were read one after the other, the first parts would contain only users of stable."""
    observed.write_exposures(500)
    observed.write_exposures(500, arm="canary")
    seconds = count(step=MAX_READING_S + 1)  # the time for reading is over after each batch
    observed.restart_observer(events_per_batch=100, clock=lambda: next(seconds))
    totals = []
    for _ in range(10):
        evidence = observed.observe(time.time())
        assert gap_reasons(evidence) == [ReasonCode.CATCHING_UP]
        mismatch = evidence.sample_ratio_mismatch
        assert abs(mismatch.canary - mismatch.total / 2) <= 1
        totals.append(mismatch.total)
    assert totals == [*range(100, 1001, 100)]
    assert observed.observe(time.time()).gaps == ()


@pytest.mark.parametrize("events_per_batch", [1, 40])  # 1: the feedback is a batch of its own
def test_feedback_from_a_fast_clock_does_not_end_attribution_windows(
    observed: ObservedStack, events_per_batch: int
) -> None:
    observed.write_exposures(30, after_s=90.0)
    observed.write_feedback(Feedback("e1", time.time() + 2000, "somebody", "i1", "click", 1.0))
    observed.restart_observer(events_per_batch=events_per_batch)
    assert observed.observe(time.time()).gaps == ()
    clicked_at = observed.started_at + 95
    observed.write_feedback(Feedback("e2", clicked_at, "stable90.0-0", "i1", "click", 1.0))
    observed.observe(time.time() + 60 * observed.params.attribution_window_minutes + 60)
    assert observed.observer.metrics_to_report["mean_stable"] == pytest.approx(1 / 30)


def test_observer_continues_from_a_checkpoint(
    observed: ObservedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed.write_exposures(30)
    observed.write_exposures(20, arm="canary")
    observed.clock_seconds += MIN_CHECKPOINT_INTERVAL_S
    observed.observe(time.time())
    observed.write_exposures(10, after_s=40.0)
    before = observed.observe(time.time())
    lines = record_decoded_lines(monkeypatch)
    observed.restart_observer()
    after = observed.observe(time.time())
    assert len(lines) == 10
    assert after.sample_ratio_mismatch == before.sample_ratio_mismatch
    assert after.step_users == before.step_users
    assert after.sample_ratio_mismatch.total == 60


def record_decoded_lines(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list to which every line that is decoded from now on is appended."""
    lines: list[bytes] = []

    def record_and_decode(line: bytes) -> Event:
        lines.append(line)
        return decode(line)

    monkeypatch.setattr(tail, "decode", record_and_decode)
    return lines


@pytest.mark.parametrize("problem", ["truncated", "changed", "missing", "other code", "other rollout"])
def test_invalid_checkpoint_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    path, rollout_name = tmp_path / "checkpoint", "one"
    observer_checkpoint.save(path, rollout_name, {"users": 3})
    assert observer_checkpoint.load(path, rollout_name) == {"users": 3}
    data = path.read_bytes()
    match problem:
        case "truncated":
            path.write_bytes(data[:-5])
        case "changed":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "missing":
            path.unlink()
        case "other code":
            monkeypatch.setattr(observer_checkpoint, "CODE_DIGEST", "another")
        case "other rollout":
            rollout_name = "two"
    assert observer_checkpoint.load(path, rollout_name) is None


def test_checkpoint_that_cannot_be_written_raises_no_error(tmp_path: Path) -> None:
    observer_checkpoint.save(tmp_path / "no such folder" / "checkpoint", "one", {})
