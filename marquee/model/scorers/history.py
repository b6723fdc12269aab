"""Histories that scorers use: items with ratings or weights, in training and since."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from marquee.array_types import Float32Array, Float64Array, Int32Array, Int64Array
from marquee.model.history_weighting import WEIGHT_WITHOUT_VALUE, HistoryWeighting

# Rating or weight of each item, by inner id; None for an interaction without a value, such as a click.
History: TypeAlias = Mapping[int, float | None]


@dataclass(frozen=True)
class TrainingHistories:
    """Training interactions of all users, as `InteractionMatrix` has them.

    Attributes:
        indptr: user u has the interactions `indptr[u]:indptr[u + 1]`, (n_users + 1,).
        items: inner ids, (n_interactions,).
        values: ratings or weights, (n_interactions,).
    """

    indptr: Int64Array
    items: Int32Array
    values: Float32Array

    def items_of(self, user: int) -> Int32Array:
        """Return the items of a user."""
        start, stop = self.indptr[user : user + 2]
        return self.items[start:stop]

    def values_of(self, user: int) -> Float32Array:
        """Return the ratings or weights of a user, in the order of `items_of`."""
        start, stop = self.indptr[user : user + 2]
        return self.values[start:stop]


def weigh_history(history: History, weighting: HistoryWeighting) -> tuple[Int32Array, Float64Array]:
    """Return the items of a history whose weight is not 0, and these weights."""
    items, weights = _weigh_all(history, weighting)
    return items[weights != 0], weights[weights != 0]


def has_positive(history: History, weighting: HistoryWeighting) -> bool:
    """Return True if an interaction of a history has a weight above 0."""
    return bool((_weigh_all(history, weighting)[1] > 0).any())


def weigh_user(
    training: TrainingHistories, user: int, recent: History, weighting: HistoryWeighting
) -> tuple[Int32Array, Float64Array]:
    """Return all items of a known user whose weight is not 0, and these weights.

    A recent interaction replaces the training interactions with its item.
    """
    trained, weights = training.items_of(user), weighting.weigh(training.values_of(user).astype(np.float64))
    if recent:
        recent_items, recent_weights = _weigh_all(recent, weighting)
        is_kept = ~np.isin(trained, recent_items)
        trained = np.concatenate([trained[is_kept], recent_items])
        weights = np.concatenate([weights[is_kept], recent_weights])
    return trained[weights != 0], weights[weights != 0]


def _weigh_all(history: History, weighting: HistoryWeighting) -> tuple[Int32Array, Float64Array]:
    """Return the items of a history, and their weights, which may be 0."""
    items = np.array(list(history), dtype=np.int32)
    has_value = np.array([value is not None for value in history.values()], dtype=bool)
    values = np.array([0.0 if value is None else value for value in history.values()])
    return items, np.where(has_value, weighting.weigh(values), WEIGHT_WITHOUT_VALUE)
