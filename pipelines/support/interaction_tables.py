"""Interactions that a stage reads: training set, test set, or all rows; and their kind of feedback."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from experiments.config import Params
from marquee.algorithms.trainset import MatrixTrainset, build_trainset
from marquee.array_types import RatingScale
from marquee.interactions.columns import USER
from marquee.interactions.matrix import DEFAULT_SCALE
from pipelines.support.fetched_source import read_rating_scale
from pipelines.support.json_reader import read_json
from pipelines.support.paths import FEEDBACK, RATINGS, SPLIT_SETTINGS, TEST, TEST_HISTORY, TRAIN

RELEVANT_SHARE_OF_SCALE = 0.75  # a rating is relevant from three quarters of the way up the scale


@dataclass(frozen=True)
class FeedbackSpec:
    """Kind of feedback in the interactions table.

    Attributes:
        feedback: explicit if the table has ratings, implicit if it has weights.
        scale: lowest and highest possible rating; None for implicit feedback.
        positive_from: lowest value of a relevant item.
    """

    feedback: Literal["explicit", "implicit"]
    scale: RatingScale | None
    positive_from: float


def read_feedback(params: Params) -> FeedbackSpec:
    """Return the kind of feedback; a clone without data/feedback.json has ratings."""
    if FEEDBACK.exists():
        record = read_json(FEEDBACK)
        scale = record["scale"]
        return FeedbackSpec(
            record["feedback"], scale and (float(scale[0]), float(scale[1])), record["positive_from"]
        )
    low, high = read_rating_scale()
    threshold = params.measure.relevance_threshold
    default = low + RELEVANT_SHARE_OF_SCALE * (high - low)
    return FeedbackSpec("explicit", (low, high), default if threshold is None else threshold)


def read_trainset(feedback: FeedbackSpec) -> MatrixTrainset:
    """Read the training set, including the first interactions of users who are new in the test part."""
    tables = [pd.read_parquet(TRAIN)]
    if TEST_HISTORY.exists():
        tables.append(pd.read_parquet(TEST_HISTORY))
    return build_trainset(pd.concat(tables, ignore_index=True), feedback.scale or DEFAULT_SCALE)


def read_test_set() -> pd.DataFrame:
    """Read the held-out interactions, which are new to their users."""
    return pd.read_parquet(TEST)


def read_newcomers() -> frozenset[str]:
    """Return the ids of the users whose first interactions are in the test part."""
    if not TEST_HISTORY.exists():
        return frozenset()
    return frozenset(pd.read_parquet(TEST_HISTORY, columns=[USER])[USER])


def read_all_interactions(feedback: FeedbackSpec) -> MatrixTrainset:
    """Read all valid interactions, one for each pair of user and item, training and test set together."""
    return build_trainset(pd.read_parquet(RATINGS), feedback.scale or DEFAULT_SCALE)


def allow_repeats() -> bool:
    """Return True if items that a user has interacted with may be recommended (`split.repeat: allow`)."""
    return SPLIT_SETTINGS.exists() and read_json(SPLIT_SETTINGS).get("repeat") == "allow"
