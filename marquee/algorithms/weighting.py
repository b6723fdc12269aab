"""Weighting of interactions: how much a rating or an implicit weight counts in a ranking model.

    weighting   explicit feedback: rating r              implicit feedback: weight w
    binary      1 if r >= threshold                      1 if w > 0 and w >= threshold
    linear      (r - neutral) / (highest - neutral)      w
    log         not defined                              ln(1 + w)

A linear weight of a rating is at least -1/2. Another divisor would only rescale the regularization of EASE
and the alpha of ImplicitALS; with this one, the highest rating of the scale weighs as much as with binary
weighting. The weights of implicit feedback are those of Hu, Koren and Volinsky (2008), Collaborative
Filtering for Implicit Feedback Datasets, section 4; the logarithm is that of equation 6 with epsilon = 1.
Binary ratings are one-class feedback: Pan et al. (2008), One-Class Collaborative Filtering.
"""

from dataclasses import dataclass

from marquee.array_types import Float64Array, RatingScale
from marquee.errors import ParameterError
from marquee.interactions.columns import FeedbackType
from marquee.model.history_weighting import HistoryWeighting
from marquee.rating_scale import find_liked_rating

WEIGHTINGS = ("binary", "linear", "log")
MIN_PREFERENCE = -0.5  # dislikes count less than likes: an item that was chosen is no random item


@dataclass(frozen=True)
class Weighting:
    """Function from ratings or weights to the weights that a ranking model learns from.

    Args:
        name: "binary", "linear" or "log".
        threshold: lowest value that counts, for binary weighting; None: three quarters of the way up the
            rating scale, and every implicit weight above 0.
        neutral: rating with weight 0, for linear weighting; None: the lowest of the rating scale.

    >>> import numpy as np
    >>> Weighting("linear").weigh(np.array([1.0, 2.0, 5.0]), "explicit", scale=(1.0, 5.0)).tolist()
    [0.0, 0.25, 1.0]
    >>> Weighting("binary").weigh(np.array([0.0, 1.0, 7.0]), "implicit", scale=(1.0, 5.0)).tolist()
    [0.0, 1.0, 1.0]
    """

    name: str = "binary"
    threshold: float | None = None
    neutral: float | None = None

    def weigh(self, values: Float64Array, feedback: FeedbackType, scale: RatingScale) -> Float64Array:
        """Return the weight of each value, shape (n,); 0: it does not count.

        Args:
            values: ratings or implicit weights (n,).
            feedback: kind of the values.
            scale: rating scale; used only with explicit feedback.

        Raises:
            ParameterError: the weighting is not defined for this kind of feedback.
        """
        return self.resolve(feedback, scale).weigh(values)

    def resolve(self, feedback: FeedbackType, scale: RatingScale) -> HistoryWeighting:
        """Return the function with the bounds for this kind of feedback, as it is served.

        Raises:
            ParameterError: the weighting is not defined for this kind of feedback.
        """
        _, bound = self.find_bound(feedback, scale)
        if feedback == "implicit":
            return self._resolve_implicit(bound)
        return self._resolve_explicit(bound, scale[1])

    def find_bound(self, feedback: FeedbackType, scale: RatingScale) -> tuple[str, float]:
        """Return the parameter that decides which values have a positive weight, and its effective value."""
        if feedback == "implicit":
            return "threshold", (self.threshold or 0.0) if self.name == "binary" else 0.0
        if self.name == "linear":
            return "neutral", scale[0] if self.neutral is None else self.neutral
        return "threshold", find_liked_rating(scale) if self.threshold is None else self.threshold

    def _resolve_implicit(self, threshold: float) -> HistoryWeighting:
        if self.name == "binary":
            return HistoryWeighting("binary", bound=threshold if threshold > 0 else None)
        return HistoryWeighting("linear" if self.name == "linear" else "log")

    def _resolve_explicit(self, bound: float, highest: float) -> HistoryWeighting:
        if self.name == "binary":
            return HistoryWeighting("binary", bound=bound)
        if self.name == "linear":
            unit = highest - bound if highest > bound else 1.0
            return HistoryWeighting("linear", bound=bound, unit=unit, floor=MIN_PREFERENCE)
        raise ParameterError(
            "weighting log is defined for implicit weights only (got ratings); use binary or linear"
        )
