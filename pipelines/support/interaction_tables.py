"""Interactions that a stage reads: training set, test set, or all rows."""

import pandas as pd

from marquee.algorithms.trainset import MatrixTrainset, build_trainset
from marquee.interactions.aggregation import aggregate
from marquee.interactions.feedback import FeedbackSpec
from marquee.interactions.matrix import DEFAULT_SCALE
from pipelines.support.json_reader import read_json
from pipelines.support.paths import (
    INTERACTIONS,
    SPLIT,
    TEST,
    TEST_HISTORY,
    TEST_REPEATS,
    TRAIN,
)


def read_trainset(feedback: FeedbackSpec) -> MatrixTrainset:
    """Read the training set."""
    return build_trainset(pd.read_parquet(TRAIN), feedback.scale or DEFAULT_SCALE)


def read_test_set() -> pd.DataFrame:
    """Read the held-out pairs, which are new to their users."""
    return pd.read_parquet(TEST)


def read_repeats() -> pd.DataFrame:
    """Read the held-out pairs that their users have an earlier row of; none with `split.repeat: allow`."""
    return pd.read_parquet(TEST_REPEATS)


def read_test_history() -> pd.DataFrame:
    """Read the first interactions of users who are new in the test part; they are not trained on."""
    return pd.read_parquet(TEST_HISTORY)


def read_all_interactions(feedback: FeedbackSpec) -> MatrixTrainset:
    """Read all valid interactions, one for each pair of user and item, training and test set together."""
    return build_trainset(read_all_pairs(feedback), feedback.scale or DEFAULT_SCALE)


def read_all_pairs(feedback: FeedbackSpec) -> pd.DataFrame:
    """Read the table of all valid interactions, one row for each pair of user and item."""
    return aggregate(pd.read_parquet(INTERACTIONS), feedback.repeats)


def is_cut_by_time() -> bool:
    """Return True if the test part is later than the training set, for all users or for each user."""
    return bool(read_json(SPLIT)["strategy"] != "random")


def allow_repeats() -> bool:
    """Return True if items that a user has interacted with may be recommended (`split.repeat: allow`)."""
    return bool(read_json(SPLIT)["repeat"] == "allow")
