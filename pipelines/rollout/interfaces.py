"""Interfaces of the controller's collaborators: observer of a rollout, actuator of a stack, reporter."""

from collections.abc import Mapping
from typing import Protocol

from marquee.rollout.decision import Decision
from marquee.rollout.policy import Evidence, Policy
from marquee.rollout.state import Rollout
from pipelines.rollout.journal import Journal
from service.gateway.traffic_split import Split
from service.stack.stack_config import Arm


class Observer(Protocol):
    """Turns what happens in one rollout into evidence."""

    @property
    def policy(self) -> Policy:
        """Policy that the rollout began with."""

    def missed(self, now: float) -> float | None:
        """Ask the gateways about the canary: the time since which it may have been away, or None."""

    def look(self, rollout: Rollout, now: float) -> Evidence:
        """Read what is new and return all the evidence; `missed` comes first."""

    def shown(self) -> Mapping[str, float]:
        """Figures for the status and for MLflow."""


class Actuator(Protocol):
    """Brings a stack to a state; does nothing where it is there already."""

    @property
    def answered(self) -> bool:
        """True if any gateway answered when it was last told the split."""

    def is_canary_ready(self) -> bool:
        """Return True if a gateway has a replica of the canary up."""

    def split(self, split: Split) -> bool:
        """Set the traffic split; return True if every gateway that runs has it."""

    def raise_canary(self, arm: Arm) -> None:
        """Start the canary's replicas."""

    def end_canary(self) -> None:
        """Stop the canary's replicas."""

    def crown(self, arm: Arm) -> None:
        """Make an arm the stable one, replica by replica."""


class Reporter(Protocol):
    """Reports rollouts to operators and to MLflow."""

    def of_look(
        self,
        rollout: Rollout,
        evidence: Evidence,
        decision: Decision,
        shown: Mapping[str, float],
        now: float,
    ) -> None:
        """Report one look and the decision that follows from it."""

    def of_outcome(self, journal: Journal) -> None:
        """Report how a rollout ended."""

    def what_is_owed(self) -> None:
        """Report again what could not be reported."""
