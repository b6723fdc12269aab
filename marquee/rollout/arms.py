"""Arms of a rollout: stable (the champion) and canary (the challenger)."""

from typing import Generic, NamedTuple, TypeVar

STABLE, CANARY = "stable", "canary"
ARMS = (STABLE, CANARY)
T = TypeVar("T")


class PerArm(NamedTuple, Generic[T]):
    """One value for each arm."""

    stable: T
    canary: T
