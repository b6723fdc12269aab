"""Weights of feedback events in a model of implicit feedback: those that training gave the same actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from marquee.events import FeedbackKind

WeightAggregation: TypeAlias = Literal["sum", "count", "max", "last", "refuse"]
WEIGHT_AGGREGATIONS: tuple[WeightAggregation, ...] = ("sum", "count", "max", "last", "refuse")


@dataclass(frozen=True)
class FeedbackWeights:
    """Weight of each kind of feedback, and how several events of a user and item make one weight.

    Attributes:
        click: weight of a click.
        watch: weight of a watch, or of a minute of it.
        rating: weight of a rating. Its stars do not count.
        counts_minutes: the weight of a watch is multiplied by its minutes.
        aggregation: `interactions.repeats` of the training data. "refuse" allows one row for each pair, so
            the latest event counts.

    >>> weights = FeedbackWeights(click=1.0, watch=3.0)
    >>> weights.aggregate([weights.weigh("click", 1.0), weights.weigh("watch", 90.0)], trained=5.0)
    9.0
    """

    click: float = 1.0
    watch: float = 1.0
    rating: float = 1.0
    counts_minutes: bool = False
    aggregation: WeightAggregation = "sum"

    def weigh(self, kind: FeedbackKind, value: float) -> float:
        """Return the weight of one event; `value` is in minutes for a watch."""
        weights = {"click": self.click, "watch": self.watch, "rating": self.rating}
        return weights[kind] * (value if kind == "watch" and self.counts_minutes else 1.0)

    def aggregate(self, weights: Sequence[float], trained: float | None = None) -> float:
        """Return the weight of a user and item, as `marquee.interactions.aggregation` would.

        Args:
            weights: weights of the events since training, oldest first; at least one.
            trained: weight of the pair in training; None if training has no row of it.
        """
        if self.aggregation in {"last", "refuse"}:
            return weights[-1]
        if self.aggregation == "max":
            return max(weights if trained is None else (trained, *weights))
        counted = [(weight > 0) - (weight < 0) for weight in weights]
        return (trained or 0.0) + sum(counted if self.aggregation == "count" else weights)
