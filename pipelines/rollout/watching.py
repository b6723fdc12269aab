"""What is seen of a rollout: events, failures and replicas, as evidence for a decision."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from experiments.blocks import Canary
from marquee.comparison import Circumstances, Comparison
from marquee.events import Exposure, Feedback
from marquee.promotion import Evidence
from marquee.rollout import Rollout
from pipelines.rollout.policy import cohort_of, policy_of
from service.gateway.failures import FailureFile
from service.gateway.steering import ServerState, servers_of
from service.stack.launch import starts_since
from service.stack.layout import CANARY, Stack
from service.telemetry import Follower

T = TypeVar("T")
LONGEST_LOOK_S = 5.0  # between two looks; who was stopped for longer has not seen what was there meanwhile


class Watch:
    """Everything since a rollout began, read again from its files after a restart of the controller."""

    def __init__(
        self, stack: Stack, rollout: Rollout, canary: Canary, popularity: Mapping[str, float]
    ) -> None:
        self._stack = stack
        self._began = rollout.began
        self._canary = canary
        self._popularity = popularity
        self.policy = policy_of(canary)
        self._looked = time.time()
        self._unhealthy = 0.0  # seconds in a row that the gateways were seen without a replica of the canary
        self._read_anew()

    def _read_anew(self) -> None:
        stack = self._stack
        self.comparison = Comparison(self.policy)
        self._cohort = cohort_of(self._canary, self.comparison, dict(self._popularity))
        self._weighed = self._steered = 0
        self._events = [Follower(stack.events, kind, self._began) for kind in ("exposure", "feedback")]
        self._failures = [
            FailureFile(gateway.failures(stack.folder), stack.slow_ms) for gateway in stack.gateways
        ]

    def look(self, rollout: Rollout, now: float) -> Evidence:
        """Read what is new, and weigh all of it."""
        troubles = self._take(rollout, now)
        states = [servers_of(self._stack.folder, gateway) for gateway in self._stack.gateways]
        if not any(states):
            troubles.append("no gateway answers")
        elif healthy(states):
            self._unhealthy = 0.0
        else:
            self._unhealthy += min(now - self._looked, LONGEST_LOOK_S)
        self._looked = now
        restarts = sum(
            max(starts_since(self._stack.folder, server.name, rollout.since), 0)
            for server in self._stack.replicas[CANARY]
        )
        return self.comparison.evidence(
            Circumstances(
                step=max(rollout.step, 0),
                step_seconds=now - rollout.since,
                seconds=now - rollout.began,
                age_seconds=self._cohort.ages(now),
                restarts=restarts,
                unhealthy_seconds=self._unhealthy,
                troubles=troubles,
            )
        )

    def _take(self, rollout: Rollout, now: float) -> list[str]:
        """Feed the cohort. What cannot be read or computed is a trouble, and a trouble is no pass.

        One source that cannot be read does not silence the alarms of the others. Where counting itself
        failed, half of it may have been counted: the next look reads everything again.
        """
        troubles: list[str] = []
        events = [event for follower in self._events for event in _read(follower.poll(), troubles)]
        exposures = [event for event in events if isinstance(event, Exposure)]
        feedback = [event for event in events if isinstance(event, Feedback)]
        failures = [failure for file in self._failures for failure in _read(file.poll(), troubles)]
        try:
            for at, weight in rollout.weighed[self._weighed :]:
                self._cohort.weigh(at, weight)
            for at in rollout.steered[self._steered :]:
                self._cohort.steer(at)
            self._weighed, self._steered = len(rollout.weighed), len(rollout.steered)
            self._cohort.take(exposures, feedback, failures, now)
        except (ArithmeticError, ValueError, KeyError) as error:
            self._read_anew()
            troubles.append(f"{type(error).__name__}: {error}")
        return troubles

    def shown(self) -> dict[str, float]:
        """Figures for the status and for MLflow, at this moment."""
        means = self.comparison.means
        quality = self.comparison.quality
        figures = {"mean_stable": means[0], "mean_canary": means[1], "estimate": quality.estimate}
        figures |= {"low": quality.low, "high": quality.high}
        figures |= {f"lists_{arm}": count for arm, count in self._cohort.lists.items()}
        return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


def _read(new: Iterator[T], troubles: list[str]) -> list[T]:
    """What a source has that is new, up to an error; it goes on from there at the next look."""
    found: list[T] = []
    try:
        for each in new:
            found.append(each)  # noqa: PERF402 - what came before an error counts
    except OSError as error:
        troubles.append(f"{type(error).__name__}: {error}")
    return found


def healthy(states: Sequence[list[ServerState] | None], arm: str = CANARY) -> bool:
    """Whether any gateway has a replica of the arm up."""
    return any(
        server.up and server.backend == arm and not server.name.startswith("backup-")
        for state in states
        for server in state or ()
    )
