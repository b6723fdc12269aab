"""What is seen of a rollout: events, failures and replicas, as evidence for a decision."""

import math
import time
from collections.abc import Mapping, Sequence

from experiments.blocks import Canary
from marquee.comparison import Circumstances, Comparison
from marquee.promotion import Evidence
from marquee.rollout import Rollout
from pipelines.rollout.policy import cohort_of, policy_of
from service.gateway.failures import FailureFile
from service.gateway.steering import ServerState, servers_of
from service.stack.launch import starts_since
from service.stack.layout import CANARY, Stack
from service.telemetry import Follower


class Watch:
    """Everything since a rollout began, read again from its files after a restart of the controller."""

    def __init__(
        self, stack: Stack, rollout: Rollout, canary: Canary, popularity: Mapping[str, float]
    ) -> None:
        self._stack = stack
        self.policy = policy_of(canary)
        self.comparison = Comparison(self.policy)
        self._cohort = cohort_of(canary, self.comparison, dict(popularity))
        self._weighed = self._steered = 0
        self._events = [Follower(stack.events, kind, rollout.began) for kind in ("exposure", "feedback")]
        self._failures = [
            FailureFile(gateway.failures(stack.folder), stack.slow_ms) for gateway in stack.gateways
        ]
        self._healthy = time.time()

    def look(self, rollout: Rollout, now: float) -> Evidence:
        """Read what is new, and weigh all of it."""
        for at, weight in rollout.weighed[self._weighed :]:
            self._cohort.weigh(at, weight)
        for at in rollout.steered[self._steered :]:
            self._cohort.steer(at)
        self._weighed, self._steered = len(rollout.weighed), len(rollout.steered)
        troubles = self._take(now)
        states = [servers_of(self._stack.folder, gateway) for gateway in self._stack.gateways]
        if not any(states):
            troubles.append("no gateway answers")
        if healthy(states):
            self._healthy = now
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
                unhealthy_seconds=now - self._healthy,
                troubles=troubles,
            )
        )

    def _take(self, now: float) -> list[str]:
        """Feed the cohort. What cannot be read or computed is a trouble, and a trouble is no pass."""
        try:
            exposures, feedback = ([*follower.poll()] for follower in self._events)
            failures = [failure for file in self._failures for failure in file.poll()]
            self._cohort.take(exposures, feedback, failures, now)  # type: ignore[arg-type]
        except (OSError, ArithmeticError, ValueError, KeyError) as error:
            return [f"{type(error).__name__}: {error}"]
        return []

    def shown(self) -> dict[str, float]:
        """Figures for the status and for MLflow, at this moment."""
        means = self.comparison.means
        quality = self.comparison.quality
        figures = {"mean_stable": means[0], "mean_canary": means[1], "estimate": quality.estimate}
        figures |= {"low": quality.low, "high": quality.high}
        figures |= {f"lists_{arm}": count for arm, count in self._cohort.lists.items()}
        return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


def healthy(states: Sequence[list[ServerState] | None], arm: str = CANARY) -> bool:
    """Whether any gateway has a replica of the arm up."""
    return any(
        server.up and server.backend == arm and not server.name.startswith("backup-")
        for state in states
        for server in state or ()
    )
