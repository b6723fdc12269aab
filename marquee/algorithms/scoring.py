"""Predictions of any fitted algorithm: ratings of user-item pairs, and scores of all items for ranking.

Scores are the algorithm's estimates without clipping, because clipping to the rating scale would tie the best
items. An impossible estimate is replaced with the global mean, as in `AlgoBase.predict`.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import surprise

from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.array_types import BlockScorer, BoolArray, Float64Array, Int32Array
from marquee.errors import DivergedError
from marquee.interactions.columns import ITEM, USER, value_column
from marquee.interactions.matrix import EncodedInteractions, Ids, InteractionMatrix

SURPRISE_UNKNOWN = "UKN__"  # prefix of the inner ids that Surprise gives to unknown users and items


@dataclass(frozen=True)
class UserItemPairs:
    """Held-out interactions, with the inner ids of a training matrix."""

    users: Int32Array  # (n,); UNKNOWN for users that are not in the matrix
    items: Int32Array  # (n,); UNKNOWN for items that are not in the matrix
    actual: Float64Array  # (n,); ratings or weights


@dataclass(frozen=True)
class Predictions:
    """Predicted ratings, clipped to the rating scale, and the true ones; arrays of shape (n,)."""

    actual: Float64Array
    estimated: Float64Array
    impossible: BoolArray  # True where the global mean replaces an estimate


def encode_pairs(interactions: pd.DataFrame, matrix: InteractionMatrix) -> UserItemPairs:
    """Convert the rows of an interactions table to pairs with the inner ids of a matrix."""
    users = pd.Index(matrix.user_ids).get_indexer(pd.Index(interactions[USER]))
    items = pd.Index(matrix.item_ids).get_indexer(pd.Index(interactions[ITEM]))
    values = interactions[value_column(interactions)].to_numpy(dtype=np.float64)
    return UserItemPairs(users.astype(np.int32), items.astype(np.int32), values)


def reencode_pairs(ratings: EncodedInteractions, matrix: InteractionMatrix) -> UserItemPairs:
    """Convert interactions encoded with other inner ids to pairs with the inner ids of a matrix.

    Faster than `encode_pairs`: each id is looked up once, not once per row.
    """
    users = _map_ids(ratings.user_ids, matrix.user_ids)[ratings.users]
    items = _map_ids(ratings.item_ids, matrix.item_ids)[ratings.items]
    return UserItemPairs(users, items, ratings.values)


def predict_pairs(algorithm: surprise.AlgoBase, pairs: UserItemPairs) -> Predictions:
    """Predict the ratings of all pairs, in order.

    Raises:
        DivergedError: a prediction is not finite.
    """
    if isinstance(algorithm, Algorithm):
        estimates = algorithm.estimate_pairs(pairs.users, pairs.items)
        values = np.clip(estimates.values, *algorithm.trainset.rating_scale)
        impossible = estimates.impossible
    else:
        values, impossible = _predict_one_by_one(algorithm, pairs)
    if not np.isfinite(values).all():
        raise DivergedError(f"{type(algorithm).__name__} predicts ratings that are not finite")
    return Predictions(
        pairs.actual, values, np.zeros(len(values), bool) if impossible is None else impossible
    )


def build_block_scorer(algorithm: surprise.AlgoBase) -> BlockScorer:
    """Return a function from inner user ids, shape (n,), to scores of all items, shape (n, n_items)."""
    if isinstance(algorithm, Algorithm):
        return algorithm.score_all_items
    return partial(_score_one_by_one, algorithm)


def _map_ids(source_ids: Ids, target_ids: Ids) -> Int32Array:
    """Return the inner id in the target for each inner id of the source, or UNKNOWN."""
    inner_ids = {raw: inner for inner, raw in enumerate(target_ids)}
    return np.array([inner_ids.get(raw, UNKNOWN) for raw in source_ids], dtype=np.int32)


def _predict_one_by_one(algorithm: surprise.AlgoBase, pairs: UserItemPairs) -> tuple[Float64Array, BoolArray]:
    """Predict with `estimate`, the only method that Surprise's own algorithms have for this."""
    estimates = [_estimate(algorithm, u, i) for u, i in zip(pairs.users, pairs.items, strict=True)]
    impossible = np.array([estimate is None for estimate in estimates])
    values = [algorithm.default_prediction() if estimate is None else estimate for estimate in estimates]
    return np.clip(np.array(values), *algorithm.trainset.rating_scale), impossible


def _score_one_by_one(algorithm: surprise.AlgoBase, users: Int32Array) -> Float64Array:
    """Score all items for these users with `estimate`."""
    items = range(algorithm.trainset.n_items)
    rows = [[_estimate(algorithm, user, item) for item in items] for user in users.tolist()]
    default = algorithm.default_prediction()
    return np.array([[default if score is None else score for score in row] for row in rows])


def _estimate(algorithm: surprise.AlgoBase, user: int, item: int) -> float | None:
    """Call `estimate` as Surprise's `predict` does; return None if the prediction is impossible."""
    uid = int(user) if user != UNKNOWN else SURPRISE_UNKNOWN
    iid = int(item) if item != UNKNOWN else SURPRISE_UNKNOWN
    try:
        estimate = algorithm.estimate(uid, iid)
    except surprise.PredictionImpossible:
        return None
    return float(estimate[0] if isinstance(estimate, tuple) else estimate)
