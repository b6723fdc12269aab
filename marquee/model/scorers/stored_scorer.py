"""Interface of stored scorers: the arrays and constants from which a served model scores items.

    write   StoredScorer ─► arrays() to files, constants() to the manifest
    load    files and manifest ─► restore_scorer ─► StoredScorer ─► create_scorer ─► Scorer

A kind of scorer is a frozen dataclass that registers itself with `register_kind`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from marquee.array_types import AnyArray, Float32Array
from marquee.model.scorers.history import History, TrainingHistories


class Scorer(Protocol):
    """Scores all items for a user."""

    def can_score(self, history: History) -> bool:
        """Return True if an interaction of this history affects scores.

        For a user who is not in the training data, False means that they cannot be scored.
        """

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for a known user, (n_items,).

        Args:
            user: inner id.
            recent: interactions since training. They replace training interactions with the same items.
        """

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a history for which `can_score` is True, (n_items,)."""


@dataclass(frozen=True)
class ArraySpec:
    """What an array of a stored scorer must look like; floating-point arrays must also be finite.

    Attributes:
        dtype: data type.
        shape: expected shape; None: any length.
        n_ids: the elements are ids below this number; None: they are no ids.
    """

    dtype: type[np.generic]
    shape: tuple[int | None, ...]
    n_ids: int | None = None


class StoredScorer(Protocol):
    """Arrays and constants from which a scorer is created."""

    kind: ClassVar[str]

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are valid constants of this kind."""

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the arrays, given valid constants."""

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and valid constants."""

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the arrays by name."""

    def constants(self) -> Mapping[str, Any]:
        """Return everything that is not an array, as a JSON object."""

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return what each array must look like in a model of so many users and items."""

    def create_scorer(self, training: TrainingHistories) -> Scorer:
        """Create the scorer; it uses the training histories of known users."""


KINDS: dict[str, type[StoredScorer]] = {}
KIND = "kind"  # name of a kind in the manifest, beside its constants

AnyKind = TypeVar("AnyKind", bound=type[StoredScorer])


def register_kind(cls: AnyKind) -> AnyKind:
    """Register a kind of stored scorer under its name; used as a class decorator."""
    KINDS[cls.kind] = cls
    return cls


def describe_scorer(stored: StoredScorer) -> dict[str, Any]:
    """Return the manifest entry of a stored scorer: its kind and its constants."""
    return {KIND: stored.kind, **stored.constants()}


def is_description(tree: object) -> bool:
    """Return True if a parsed JSON value is a valid manifest entry of a stored scorer."""
    if not isinstance(tree, dict) or tree.get(KIND) not in KINDS:
        return False
    return KINDS[tree[KIND]].accepts_constants(_constants(tree))


def restore_scorer(description: Mapping[str, Any], open_array: Callable[[str], AnyArray]) -> StoredScorer:
    """Restore a stored scorer from its manifest entry.

    Args:
        description: valid manifest entry.
        open_array: returns the array of a name.
    """
    arrays = {name: open_array(name) for name in list_array_names(description)}
    return KINDS[description[KIND]].restore(arrays, _constants(description))


def list_array_names(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the arrays of a stored scorer, given its valid manifest entry."""
    return KINDS[description[KIND]].array_names(_constants(description))


def _constants(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name != KIND}
