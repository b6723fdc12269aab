"""Interfaces of the controller's collaborators: observer of a rollout, actuator of a stack, reporter."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Protocol

from marquee.rollout.decision_types import Decision
from marquee.rollout.evidence import Evidence
from marquee.rollout.policy import PromotionPolicy
from marquee.rollout.state import Rollout
from pipelines.rollout.journal import Journal
from service.gateway.traffic_split import TrafficSplit
from service.stack.stack_config import Arm


class SplitResult(Enum):
    """Result of setting a traffic split."""

    APPLIED = auto()  # every gateway that responds has it
    NOT_APPLIED = auto()  # a gateway responds but has another split
    NO_RESPONSE = auto()  # no gateway responds


class Observer(Protocol):
    """Turns the events of a rollout and the state of its replicas into evidence."""

    @property
    def policy(self) -> PromotionPolicy:
        """Policy that the rollout started with."""

    @property
    def metrics_to_report(self) -> Mapping[str, float]:
        """Mean outcomes, quality difference and list counts, for the status file and MLflow."""

    def query_unavailable_since(self, now: float) -> float | None:
        """Query the gateways; return the time since which the canary may have been unavailable, or None."""

    def collect_evidence(self, rollout: Rollout, now: float) -> Evidence:
        """Read new events and return the evidence; call `query_unavailable_since` first."""


class Actuator(Protocol):
    """Changes a stack. All methods are idempotent."""

    def set_traffic_split(self, split: TrafficSplit) -> SplitResult:
        """Set the traffic split of all gateways."""

    def is_any_canary_replica_up(self) -> bool:
        """Return True if any gateway reports a replica of the canary as up."""

    def start_canary(self, arm: Arm) -> None:
        """Start the canary's replicas with an arm's Bento."""

    def stop_canary(self) -> None:
        """Stop the canary's replicas."""

    def update_stable_replicas(self, arm: Arm) -> None:
        """Restart the stable replicas with an arm's Bento, one after the other."""


class Reporter(Protocol):
    """Reports the progress and outcome of rollouts to operators and to MLflow."""

    def report_observation(
        self,
        rollout: Rollout,
        evidence: Evidence,
        decision: Decision,
        metrics: Mapping[str, float],
        now: float,
    ) -> None:
        """Report the evidence and the decision that follows from it."""

    def record_outcome_in_mlflow(self, journal: Journal) -> None:
        """Record the outcome of a rollout in its MLflow run."""

    def retry_unrecorded_outcomes(self) -> None:
        """Record the outcomes of earlier rollouts that could not be recorded yet."""
