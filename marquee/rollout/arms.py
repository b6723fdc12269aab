"""Arms of a rollout: stable (the champion) and canary (the challenger)."""

from collections import defaultdict
from typing import Generic, NamedTuple, TypeAlias, TypeVar

STABLE, CANARY = "stable", "canary"
ARMS = (STABLE, CANARY)

ValuesByArm: TypeAlias = dict[str, list[float]]
T = TypeVar("T")


class PerArm(NamedTuple, Generic[T]):
    """One value for each arm."""

    stable: T
    canary: T


def values_by_arm() -> ValuesByArm:
    """Return an empty mapping from arms to values. Not a lambda, which checkpoints could not pickle."""
    return defaultdict(list)
