"""Evaluation of a fitted model on held-out data: errors of predicted ratings, lists, and segments of both.

Each user's list is chosen from all items except those seen in training; nothing is sampled. A recommended
item is a hit if its held-out rating reaches the relevance threshold or, with implicit feedback, if the user
interacted with it. Held-out users without training rows and history have no list and count in the errors
only. Newcomers, whose lists come from their histories, are in no segment.
"""

from dataclasses import dataclass

import numpy as np

from experiments.evaluation.audience import NO_HISTORIES, Audience
from experiments.evaluation.candidate_record import MetricValues
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.scoring import Predictions
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import BoolArray, Int32Array
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.metrics.beyond_accuracy import measure_beyond_accuracy
from marquee.metrics.prediction import mae, rmse
from marquee.metrics.ranking import RANKING_METRICS, RelevantItems, find_hits, recall
from marquee.metrics.segments import Segments


@dataclass(frozen=True)
class ModelEvaluation:
    """Metrics of one model on the same held-out data, for all users and for each segment."""

    metrics: MetricValues
    segments: dict[str, MetricValues]


def recommend_to_all_users(algorithm: Algorithm, matrix: InteractionMatrix, n: int) -> Int32Array:
    """Return each user's best n items among those not rated in training, shape (n_users, n)."""
    lists, _ = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, n)
    return lists


def has_relevant_items(data: FoldData, protocol: EvaluationProtocol) -> bool:
    """Return True if ranking metrics are defined: some known user has a relevant held-out item."""
    known = data.test.users != UNKNOWN
    return bool(protocol.is_relevant(data.test.actual[known]).any())


def measure_errors(predictions: Predictions) -> dict[str, float]:
    """Return the errors of predicted ratings, and the share of predictions that were impossible."""
    return {
        "rmse": rmse(predictions.actual, predictions.estimated),
        "mae": mae(predictions.actual, predictions.estimated),
        "impossible": float(predictions.impossible.mean()),
    }


def evaluate_predictions(predictions: Predictions, data: FoldData) -> ModelEvaluation:
    """Evaluate predictions of the held-out ratings."""
    actual, estimated = predictions.actual, predictions.estimated

    def errors(selected: BoolArray) -> dict[str, float]:
        if not selected.any():
            return {}
        return {
            "rmse": rmse(actual[selected], estimated[selected]),
            "mae": mae(actual[selected], estimated[selected]),
        }

    users, items = find_segments(data.train)
    segments = {name: errors(_is_member(mask, data.test.users)) for name, mask in users.items()}
    segments |= {name: errors(_is_member(mask, data.test.items)) for name, mask in items.items()}
    return ModelEvaluation(measure_errors(predictions), dict(segments))


def evaluate_lists(
    lists: Int32Array, data: FoldData, protocol: EvaluationProtocol, histories: SparseRows = NO_HISTORIES
) -> ModelEvaluation:
    """Evaluate the recommendation lists of all training users and, after them, of the newcomers.

    Args:
        lists: inner ids of items, best first, (n_users, n).
        data: training matrix and held-out pairs, with ids of the `Audience` that it has with the histories.
        protocol: length of the lists, and which held-out items are relevant.
        histories: those of the newcomers.

    Raises:
        DataError: no user with a list has a relevant held-out item.
    """
    return _ListEvaluation(lists, data, protocol, histories).evaluate()


def find_segments(matrix: InteractionMatrix) -> tuple[dict[str, BoolArray], dict[str, BoolArray]]:
    """Return the members of each segment of users and of each segment of items, by name."""
    users = Segments.by_activity(matrix.by_user.counts).masks
    return dict(users), dict(Segments.by_popularity(matrix.item_counts()).masks)


class _ListEvaluation:
    """Computes the metrics of lists, for all users and for each segment."""

    def __init__(
        self, lists: Int32Array, data: FoldData, protocol: EvaluationProtocol, histories: SparseRows
    ) -> None:
        self._matrix, self._pairs = data
        audience = Audience(self._matrix, histories)
        self._lists, self._n, self._n_users = lists, protocol.n, audience.n_users
        self._popularity = self._matrix.item_counts()
        self._profiles = audience.profile_popularity
        self._is_relevant = protocol.is_relevant(self._pairs.actual)
        hits = find_hits(lists, self._relevant_items(self._is_relevant))
        self._evaluated_users = hits.users
        self._ranking = {name: metric(hits, self._n) for name, metric in RANKING_METRICS.items()}

    def evaluate(self) -> ModelEvaluation:
        """Return the metrics of all users and of each segment."""
        everyone = np.ones(self._n_users, dtype=bool)
        users, items = find_segments(self._matrix)
        segments = {name: self._user_segment(mask) for name, mask in users.items()}
        segments |= {name: self._item_segment(mask) for name, mask in items.items()}
        return ModelEvaluation(self._ranking_metrics(everyone) | self._beyond_accuracy(everyone), segments)

    def _user_segment(self, members: BoolArray) -> MetricValues:
        """Return the metrics of a segment of training users, mask of shape (n_training_users,)."""
        sizes = {
            "members": float(members.sum()),
            "interactions": float(self._matrix.by_user.counts[members].sum()),
        }
        if not members.any():
            return sizes
        members = np.pad(members, (0, self._n_users - len(members)))  # newcomers are in no segment
        return sizes | self._ranking_metrics(members) | self._beyond_accuracy(members)

    def _item_segment(self, members: BoolArray) -> MetricValues:
        recommended = self._lists[self._lists >= 0]
        metrics = {
            "members": float(members.sum()),
            "interactions": float(self._popularity[members].sum()),
            "shown": float(members[recommended].mean()) if len(recommended) else 0.0,
        }
        relevant = _is_member(members, self._pairs.items) & self._is_relevant
        if relevant.any():
            hits = find_hits(self._lists, self._relevant_items(relevant))
            metrics["recall"] = float(recall(hits, self._n).mean())
        return metrics

    def _relevant_items(self, selected: BoolArray) -> RelevantItems:
        pairs = self._pairs
        return RelevantItems.from_pairs(pairs.users[selected], pairs.items[selected], self._n_users)

    def _ranking_metrics(self, members: BoolArray) -> dict[str, float]:
        """Return means over the members who have a relevant held-out item."""
        evaluated = members[self._evaluated_users]
        if not evaluated.any():
            return {}
        return {name: float(values[evaluated].mean()) for name, values in self._ranking.items()}

    def _beyond_accuracy(self, members: BoolArray) -> dict[str, float]:
        """Return the beyond-accuracy metrics of the members' lists, except undefined ones."""
        return measure_beyond_accuracy(self._lists[members], self._matrix, self._profiles[members], self._n)


def _is_member(members: BoolArray, numbers: Int32Array) -> BoolArray:
    """Return True for each user or item in the segment; those unknown to training are in no segment."""
    return np.asarray((numbers != UNKNOWN) & members[numbers])
