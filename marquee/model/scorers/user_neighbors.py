r"""Stored scorer of user k-NN: what the training users most similar to a history chose.

.. math:: s_i = \sum_{v \in N_k} \operatorname{sim}(v) x_{vi}

where the similarities are those of the history of a known user, of a visitor, or of both together, to all
training users, found with an index from items to users. A known user is no neighbor of their own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array
from marquee.csr_rows import locate_rows
from marquee.hashing import hash_pairs
from marquee.model.history_weighting import HistoryWeighting, is_weighting
from marquee.model.neighbor_similarity import SIMILARITIES, NeighborSimilarity
from marquee.model.scorers.history import History, TrainingHistories, weigh_user
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind
from marquee.model.scorers.weighted_history import WeightedHistoryScorer


@register_kind
@dataclass(frozen=True)
class UserNeighbors:
    """Index from items to training users, and the formula of the similarity."""

    item_starts: (
        Int64Array  # (n_items + 1,): item i was chosen by `item_users[item_starts[i]:item_starts[i + 1]]`
    )
    item_users: Int32Array  # (n,): inner ids of users
    user_values: Float32Array  # (n,): value of each of these interactions in the similarity
    item_idf: Float64Array  # (n_items,)
    user_terms: Float64Array  # (n_users,): term of each user in the similarity
    similarity: NeighborSimilarity
    weighting: HistoryWeighting
    k: int  # number of neighbors
    kind: ClassVar[str] = "user_neighbors"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are a similarity, a weighting and a number of neighbors."""
        if constants.keys() != {"similarity", "weighting", "k"} or not is_weighting(constants["weighting"]):
            return False
        return (
            isinstance(constants["k"], int) and constants["k"] > 0 and _is_similarity(constants["similarity"])
        )

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the names of the arrays."""
        return "item_starts", "item_users", "user_values", "item_idf", "user_terms"

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and constants."""
        similarity = NeighborSimilarity(**constants["similarity"])
        return cls(
            **arrays,
            similarity=similarity,
            weighting=HistoryWeighting(**constants["weighting"]),
            k=constants["k"],
        )

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the index and the terms of the similarity."""
        return {name: getattr(self, name) for name in self.array_names({})}

    def constants(self) -> Mapping[str, Any]:
        """Return the similarity, the weighting and the number of neighbors."""
        return {"similarity": asdict(self.similarity), "weighting": self.weighting.to_json(), "k": self.k}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return the specification of the arrays."""
        n = int(self.item_starts[-1]) if len(self.item_starts) else 0
        return {
            "item_starts": ArraySpec(np.int64, (n_items + 1,), n_ids=n + 1),
            "item_users": ArraySpec(np.int32, (n,), n_ids=n_users),
            "user_values": ArraySpec(np.float32, (n,)),
            "item_idf": ArraySpec(np.float64, (n_items,)),
            "user_terms": ArraySpec(np.float64, (n_users,)),
        }

    def create_scorer(self, training: TrainingHistories) -> "UserNeighborScorer":
        """Create the scorer."""
        return UserNeighborScorer(self, training)

    def compute_similarities(self, items: Int32Array, weights: Float64Array) -> Float64Array:
        """Return the similarity of every training user to a history, (n_users,).

        Args:
            items: inner ids of the items in the history.
            weights: weight of each of them.
        """
        values = self.similarity.transform(weights, self.item_idf[items], np.maximum(weights, 0).sum())
        sums, counts = np.zeros(len(self.user_terms)), np.zeros(len(self.user_terms))
        for item, value in zip(items.tolist(), values.tolist(), strict=True):
            row = slice(self.item_starts[item], self.item_starts[item + 1])  # of different users
            sums[self.item_users[row]] += value * self.user_values[row]
            if self.similarity.shrinkage > 0:
                counts[self.item_users[row]] += 1
        return self.similarity.combine(
            sums, counts, self.similarity.compute_terms((values**2).sum()), self.user_terms
        )


class UserNeighborScorer(WeightedHistoryScorer):
    """Sums the weights of the training users most similar to a history."""

    needs_positive = False

    def __init__(self, stored: UserNeighbors, training: TrainingHistories) -> None:
        super().__init__(stored.weighting, training)
        self._stored = stored

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for a known user, who is no neighbor of their own."""
        weighed = weigh_user(self._training, user, recent, self._weighting)
        similarities = self._stored.compute_similarities(*weighed)
        similarities[user] = 0
        return self._sum_choices(similarities)

    def _score(self, items: Int32Array, weights: Float64Array) -> Float32Array:
        return self._sum_choices(self._stored.compute_similarities(items, weights))

    def _sum_choices(self, similarities: Float64Array) -> Float32Array:
        """Return the weights of the k most similar users, times their similarities, summed by item."""
        neighbors = _find_largest(similarities, self._stored.k)
        bounds, positions = locate_rows(self._training.indptr, neighbors)
        weights = self._weighting.weigh(self._training.values[positions].astype(np.float64))
        products = weights * np.repeat(similarities[neighbors], np.diff(bounds))
        n_items = len(self._stored.item_idf)
        return np.bincount(self._training.items[positions], products, minlength=n_items).astype(np.float32)


def _find_largest(similarities: Float64Array, k: int) -> Int64Array:
    """Return the positions of the k largest positive numbers; of equal ones, those with lower hashes."""
    n_smaller = max(len(similarities) - k, 0)
    lowest = max(np.partition(similarities, n_smaller)[n_smaller], np.finfo(np.float64).tiny)
    candidates = np.flatnonzero(similarities >= lowest)
    hashes = hash_pairs(np.zeros_like(candidates), candidates)
    order = np.lexsort((hashes, -similarities[candidates]))
    return np.sort(candidates[order[:k]])


def _is_similarity(tree: object) -> bool:
    """Return True if a parsed JSON value describes a similarity."""
    if not isinstance(tree, dict) or tree.keys() != {"name", "shrinkage", "mean_length"}:
        return False
    numbers = tree["shrinkage"], tree["mean_length"]
    is_valid = all(isinstance(number, int | float) and isfinite(number) and number >= 0 for number in numbers)
    return tree["name"] in SIMILARITIES and is_valid
