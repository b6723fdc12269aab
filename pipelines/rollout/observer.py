"""What is seen of a rollout: events, failures and replicas, as evidence for a decision."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from pathlib import Path

from experiments.config.online import Canary
from marquee.events import Event, Exposure, Feedback
from marquee.finite import finite_only
from marquee.rollout.cohort import Cohort, Failure
from marquee.rollout.decision import ReasonCode
from marquee.rollout.evidence import Circumstances, Comparison
from marquee.rollout.policy import Evidence, Trouble
from marquee.rollout.state import Rollout
from pipelines.rollout import checkpoint
from pipelines.rollout.policy_config import cohort_of, policy_of
from service.gateway.config import Gateway
from service.gateway.failure_log import FailureFile
from service.gateway.traffic_split import ServerState, servers_of
from service.stack.launch import starts_since
from service.stack.stack_config import CANARY, Stack
from service.telemetry import Follower, readable

log = logging.getLogger("controller")
LONGEST_LOOK_S = 5.0  # between two looks; who was stopped for longer has not seen what was there meanwhile
PIECE = 2_000  # events that are taken at once
# After a restart there may be hours to read, and an alarm should not wait for them: so long in one look.
READING_S = 2.0
MOSTLY = 0.5  # of a step: so much of it without a canary is no step
KEEP_S, KEEP_SHARE = 30.0, 20  # between two copies of what is known, and as a multiple of what one took


@dataclass
class Counted:
    """Counts, and how far their sources were read for them."""

    comparison: Comparison
    cohort: Cohort
    events: list[Follower]
    failures: list[FailureFile]
    weighed: int = 0
    steered: int = 0
    until: float = 0.0  # UTC seconds; what was before is counted


def empty_counts(stack: Stack, rollout: Rollout, canary: Canary, popularity: Mapping[str, float]) -> Counted:
    """Counts of a rollout of which nothing was read yet."""
    comparison = Comparison(policy_of(canary))
    return Counted(
        comparison,
        cohort_of(canary, comparison, dict(popularity)),
        [Follower(stack.events, kind, rollout.began) for kind in ("exposure", "feedback")],
        [FailureFile(gateway.failures(stack.folder), stack.slow_ms) for gateway in stack.gateways],
    )


class Watch:
    """Everything since a rollout began.

    What was counted is kept on disk now and then; after a restart of the controller the rest is read again,
    in the order in which it happened, a piece at each look.
    """

    def __init__(
        self,
        stack: Stack,
        rollout: Rollout,
        canary: Canary,
        popularity: Mapping[str, float],
        looked: float,
        *,
        servers_of: Callable[[Path, Gateway], list[ServerState] | None] = servers_of,
        count_anew: Callable[[], Counted] | None = None,
        clock: Callable[[], float] = time.monotonic,
        piece: int = PIECE,
    ) -> None:
        """Begin where a copy was kept, or with nothing.

        Args:
            stack: that is watched.
            rollout: that goes on there.
            canary: its parameters.
            popularity: share of the ratings by item.
            looked: when anybody last looked, in UTC seconds.
            servers_of: tells how a gateway sees the replicas.
            count_anew: makes empty counts, with sources that are read from their beginning; by default all.
            clock: source of monotonic time, in seconds.
            piece: events that are taken at once.
        """
        self._stack = stack
        self._rollout = rollout
        self.policy = policy_of(canary)
        self._looked = looked
        self._servers_of, self._clock, self._piece = servers_of, clock, piece
        self._count_anew = count_anew or partial(empty_counts, stack, rollout, canary, popularity)
        self._states: list[list[ServerState] | None] = []
        self._unhealthy = 0.0  # seconds in a row that the gateways were seen without a replica of the canary
        self._kept_at, self._kept_took = clock(), 0.0
        self._read_anew()
        kept = checkpoint.recall(self._kept, rollout.name)
        if isinstance(kept, Counted):
            self._counted = kept

    @property
    def _kept(self) -> Path:
        return self._stack.folder / "counted"

    def _read_anew(self) -> None:
        self._counted = self._count_anew()
        self._source: Iterator[Event | Failure] | None = None
        self._troubles: list[str] = []  # of the source

    def missed(self, now: float) -> float | None:
        """Ask the gateways how the canary is.

        Returns:
            Since when it may have been away from any of them; None where it was there at each look.
        """
        before, self._looked = self._looked, now
        self._states = [self._servers_of(self._stack.folder, gateway) for gateway in self._stack.gateways]
        answered = [state for state in self._states if state]
        if healthy(answered):
            self._unhealthy = 0.0
        elif answered:
            self._unhealthy += min(now - before, LONGEST_LOOK_S)
        gap = now - before
        # Who was busy, or away, asks the gateways what was then.
        unseen = gap if gap > LONGEST_LOOK_S else 0.0
        there = answered and all(healthy([state], unchanged_s=unseen) for state in answered)
        return None if there else before

    def look(self, rollout: Rollout, now: float) -> Evidence:
        """Read what is new, and weigh all of it; `missed` comes first."""
        troubles = self._take(rollout, now)
        if not any(self._states):
            troubles.append(Trouble(ReasonCode.GATEWAY_UNRESPONSIVE, "no gateway answers"))
        if away_share(rollout, now) > MOSTLY:
            away = "the canary was away for most of this step"
            troubles.append(Trouble(ReasonCode.CANARY_OUTAGE, away))
        names = [server.name for server in self._stack.replicas[CANARY]]
        restarts = sum(starts_since(self._stack.folder, name, rollout.since) for name in names)
        return self._counted.comparison.evidence(
            Circumstances(
                step=max(rollout.step, 0),
                step_seconds=now - rollout.since,
                seconds=now - rollout.began,
                age_seconds=self._counted.cohort.ages(now),
                restarts=restarts,
                unhealthy_seconds=self._unhealthy,
                troubles=troubles,
            )
        )

    def _take(self, rollout: Rollout, now: float) -> list[Trouble]:
        """Feed the cohort. What cannot be read or computed is a trouble, and a trouble is no pass.

        One source that cannot be read does not silence the alarms of the others. Where counting itself
        failed, half of it may have been counted: the next look reads everything again.
        """
        try:
            counted = self._counted
            counted.cohort.leave_out(rollout.outages)
            for at, weight in rollout.weighed[counted.weighed :]:
                counted.cohort.weigh(at, weight)
            for at in rollout.steered[counted.steered :]:
                counted.cohort.steer(at)
            counted.weighed, counted.steered = len(rollout.weighed), len(rollout.steered)
            return self._read(now)
        except Exception as error:  # whatever it is, it must not keep alarms from being heard
            log.exception("counting failed, and begins anew")
            self._read_anew()
            return [Trouble.metric_failed(f"{type(error).__name__}: {error}")]

    def _read(self, now: float) -> list[Trouble]:
        """Take what there is, piece by piece; what there is no time for comes at the next look."""
        if self._source is None:
            self._troubles = []
            counted = self._counted
            sources = [*(each.poll() for each in counted.events), *(each.poll() for each in counted.failures)]
            self._source = merge(
                *[readable(each, self._troubles) for each in sources], key=lambda each: each.time
            )
        until = self._clock() + READING_S
        while piece := [*islice(self._source, self._piece)]:
            # A client's clock is not ours: its feedback tells nothing about the time.
            read = max((each.time for each in piece if not isinstance(each, Feedback)), default=0.0)
            self._count(piece, min(max(read, self._counted.until), now))
            if self._clock() > until:
                reading = f"still reading: what happened {now - piece[-1].time:.0f} s ago"
                return [*self._unread(), Trouble(ReasonCode.CATCHING_UP, reading)]
        self._count([], now)
        self._source = None
        self._keep()
        return self._unread()

    def _unread(self) -> list[Trouble]:
        """Sources that could not be read."""
        return [Trouble.metric_failed(trouble) for trouble in self._troubles]

    def _count(self, piece: Sequence[Event | Failure], now: float) -> None:
        self._counted.until = now
        self._counted.cohort.take(
            [event for event in piece if isinstance(event, Exposure)],
            [event for event in piece if isinstance(event, Feedback)],
            [event for event in piece if isinstance(event, Failure)],
            now,
        )

    def _keep(self) -> None:
        """Put a copy of what was counted aside, so that a restart need not read everything again."""
        began = self._clock()
        if began < self._kept_at + max(KEEP_S, KEEP_SHARE * self._kept_took):
            return
        checkpoint.keep(self._kept, self._rollout.name, self._counted)
        self._kept_at = self._clock()
        self._kept_took = self._kept_at - began

    def shown(self) -> dict[str, float]:
        """Figures for the status and for MLflow, at this moment."""
        means = self._counted.comparison.means
        quality = self._counted.comparison.quality
        figures = {"mean_stable": means[0], "mean_canary": means[1], "estimate": quality.estimate}
        figures |= {"low": quality.low, "high": quality.high}
        figures |= {f"lists_{arm}": count for arm, count in self._counted.cohort.lists.items()}
        return finite_only({name: float(value) for name, value in figures.items()})


def away_share(rollout: Rollout, now: float) -> float:
    """Of the present step, how much of it the canary was away."""
    away = sum(max(min(until, now) - max(since, rollout.since), 0.0) for since, until in rollout.outages)
    return away / max(now - rollout.since, 1e-9)


def healthy(states: Sequence[list[ServerState] | None], *, unchanged_s: float = 0.0) -> bool:
    """Whether any gateway has a replica of the canary up, and had it up for so long."""
    return any(
        server.up
        and server.backend == CANARY
        and not server.name.startswith("backup-")
        and server.unchanged_s >= unchanged_s
        for state in states
        for server in state or ()
    )
