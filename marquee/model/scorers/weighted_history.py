"""Base class of scorers that compute scores from the weighted interactions of a user and nothing else."""

from typing import ClassVar

from marquee.array_types import Float32Array, Float64Array, Int32Array
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.scorers.history import (
    History,
    TrainingHistories,
    has_positive,
    weigh_history,
    weigh_user,
)


class WeightedHistoryScorer:
    """Scores known users and visitors alike, from the weights of their interactions.

    Args:
        weighting: function from ratings or weights to the weights that the model was trained on.
        training: training histories.
    """

    needs_positive: ClassVar[bool] = True  # False: interactions with negative weights suffice for scores

    def __init__(self, weighting: HistoryWeighting, training: TrainingHistories) -> None:
        self._weighting, self._training = weighting, training

    def can_score(self, history: History) -> bool:
        """Return True if an interaction in the history has a weight and, if needed, one above 0."""
        if self.needs_positive:
            return has_positive(history, self._weighting)
        return bool(len(weigh_history(history, self._weighting)[0]))

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for the training history of a user together with recent items."""
        return self._score(*weigh_user(self._training, user, recent, self._weighting))

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a user with this history."""
        return self._score(*weigh_history(history, self._weighting))

    def _score(self, items: Int32Array, weights: Float64Array) -> Float32Array:
        """Return the scores of all items for these items, whose weights are not 0; (n_items,)."""
        raise NotImplementedError
