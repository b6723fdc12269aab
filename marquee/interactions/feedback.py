"""Kind of feedback: explicit (ratings on a scale) or implicit (weights), and how its values are read."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from marquee.array_types import RatingScale
from marquee.errors import ConfigError
from marquee.interactions.aggregation import RATING_POLICIES, WEIGHT_POLICIES, RepeatsPolicy
from marquee.interactions.columns import FeedbackType
from marquee.rating_scale import find_liked_rating

FeedbackSetting: TypeAlias = Literal["auto", "explicit", "implicit"]
NegativeWeightsPolicy: TypeAlias = Literal["drop", "subtract"]
RepeatsSetting: TypeAlias = Literal["auto"] | RepeatsPolicy
SUBTRACTING_POLICIES: tuple[RepeatsPolicy, ...] = ("sum", "count")
EVERY_ROW_COUNTS_ONE = "every row counts 1"


@dataclass(frozen=True)
class FeedbackSpec:
    """Kind of feedback in an interactions table.

    Attributes:
        feedback: explicit if the table has ratings, implicit if it has weights.
        reason: why, as one sentence.
        scale: lowest and highest possible rating; None for implicit feedback.
        positive_from: lowest value of a positive interaction. For implicit feedback it is 0: aggregated
            weights are greater than 0, so all of them are positive.
        repeats: value of a user and item with several rows.
    """

    feedback: FeedbackType
    reason: str
    scale: RatingScale | None
    positive_from: float
    repeats: RepeatsPolicy

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "FeedbackSpec":
        """Restore a specification from the content of data/feedback.json."""
        scale = record["scale"]
        return cls(**(record | {"scale": None if scale is None else (float(scale[0]), float(scale[1]))}))

    def to_record(self) -> dict[str, Any]:
        """Return the content of data/feedback.json."""
        return asdict(self)


def explicit_feedback(
    reason: str, scale: RatingScale, positive_from: float | None, repeats: RepeatsSetting
) -> FeedbackSpec:
    """Return the specification of a table of ratings.

    Args:
        reason: why, as one sentence.
        scale: lowest and highest possible rating.
        positive_from: lowest rating of a relevant item; None: three quarters of the way up the scale.
        repeats: "auto" is "last".

    Raises:
        ConfigError: `repeats` is a policy for weights, or `positive_from` is above the scale.
    """
    high = scale[1]
    threshold = find_liked_rating(scale) if positive_from is None else positive_from
    if threshold > high:
        raise ConfigError(
            f"measure.relevance_threshold must be at most {high:g}, the highest rating of the scale "
            f"(got {threshold:g})"
        )
    policy = _check_policy("last" if repeats == "auto" else repeats, "explicit")
    return FeedbackSpec("explicit", reason, scale, threshold, policy)


def implicit_feedback(
    reason: str, repeats: RepeatsSetting, negative_weights: NegativeWeightsPolicy = "drop"
) -> FeedbackSpec:
    """Return the specification of a table of weights; `repeats` "auto" is "sum".

    Raises:
        ConfigError: `repeats` is a policy for ratings, or has no sum from which weights can be subtracted.
    """
    policy = _check_policy("sum" if repeats == "auto" else repeats, "implicit")
    if negative_weights == "subtract" and policy not in SUBTRACTING_POLICIES:
        raise ConfigError(
            f"interactions.negative_weights: subtract requires interactions.repeats: auto, sum or count "
            f"(got {policy}); to leave these rows out, set negative_weights to drop"
        )
    return FeedbackSpec("implicit", reason, None, 0.0, policy)


def _check_policy(repeats: RepeatsPolicy, feedback: FeedbackType) -> RepeatsPolicy:
    allowed = RATING_POLICIES if feedback == "explicit" else WEIGHT_POLICIES
    if repeats not in allowed:
        raise ConfigError(
            f"interactions.repeats must be auto, {', '.join(allowed[:-1])} or {allowed[-1]}, "
            f"because feedback is {feedback} (got {repeats})"
        )
    return repeats
