"""What a fitted algorithm says: of pairs, to measure its error, and of all items, to rank them.

Scores of all items are the algorithm's own estimates, unclipped (clipping to the scale would tie
the best items). An impossible estimate is the global mean, as in `AlgoBase.predict`.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import surprise

from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.arrays import Floats, Integers, Mask, ScoreBlock
from marquee.errors import DivergedError
from marquee.interactions.matrix import ITEM, RATING, USER, CodedRatings, Ids, RatingMatrix


@dataclass(frozen=True)
class Pairs:
    """Ratings to be predicted, with users and items numbered as in the training matrix."""

    users: Integers  # (n,); UNKNOWN where training saw no such user
    items: Integers  # (n,); UNKNOWN where training saw no such item
    actual: Floats  # (n,)


@dataclass(frozen=True)
class Predictions:
    """Predicted ratings of pairs, clipped to the scale, beside the true ones."""

    actual: Floats
    estimated: Floats
    impossible: Mask  # where the global mean stands in for an estimate


def pairs_of(ratings: pd.DataFrame, matrix: RatingMatrix) -> Pairs:
    """The rows of a ratings table as pairs of that matrix's users and items."""
    users = pd.Index(matrix.user_ids).get_indexer(pd.Index(ratings[USER]))
    items = pd.Index(matrix.item_ids).get_indexer(pd.Index(ratings[ITEM]))
    values = ratings[RATING].to_numpy(dtype=np.float64)
    return Pairs(users.astype(np.int32), items.astype(np.int32), values)


def pairs_of_coded(ratings: CodedRatings, matrix: RatingMatrix) -> Pairs:
    """The same, of ratings that were numbered otherwise: the ids are looked up once, not row by row."""
    users = _translation(ratings.user_ids, matrix.user_ids)[ratings.users]
    items = _translation(ratings.item_ids, matrix.item_ids)[ratings.items]
    return Pairs(users, items, ratings.values)


def predict_pairs(algorithm: surprise.AlgoBase, pairs: Pairs) -> Predictions:
    """Predict every pair, in their order.

    Raises:
        DivergedError: a prediction is not a finite number.
    """
    if isinstance(algorithm, Algorithm):
        estimates = algorithm.estimates(pairs.users, pairs.items)
        values = np.clip(estimates.values, *algorithm.trainset.rating_scale)
        impossible = estimates.impossible
    else:
        values, impossible = _predict_each(algorithm, pairs)
    if not np.isfinite(values).all():
        raise DivergedError(f"{type(algorithm).__name__} predicts ratings that are not finite numbers")
    return Predictions(
        pairs.actual, values, np.zeros(len(values), bool) if impossible is None else impossible
    )


def score_all(algorithm: surprise.AlgoBase) -> ScoreBlock:
    """A function from inner user ids, shape (n,), to scores, shape (n, n_items)."""
    return algorithm.score_all if isinstance(algorithm, Algorithm) else partial(_estimate_all, algorithm)


def _translation(old: Ids, new: Ids) -> Integers:
    """For each old number the new number of the same id, or UNKNOWN."""
    numbers = {raw: number for number, raw in enumerate(new)}
    return np.array([numbers.get(raw, UNKNOWN) for raw in old], dtype=np.int32)


def _predict_each(algorithm: surprise.AlgoBase, pairs: Pairs) -> tuple[Floats, Mask]:
    """The slow way, for an algorithm of which only `estimate` is known."""
    estimates = [_estimate(algorithm, u, i) for u, i in zip(pairs.users, pairs.items, strict=True)]
    impossible = np.array([estimate is None for estimate in estimates])
    values = [algorithm.default_prediction() if estimate is None else estimate for estimate in estimates]
    return np.clip(np.array(values), *algorithm.trainset.rating_scale), impossible


def _estimate_all(algorithm: surprise.AlgoBase, users: Integers) -> Floats:
    """As `_predict_each`, for every item and unclipped."""
    items = range(algorithm.trainset.n_items)
    rows = [[_estimate(algorithm, user, item) for item in items] for user in users.tolist()]
    default = algorithm.default_prediction()
    return np.array([[default if score is None else score for score in row] for row in rows])


def _estimate(algorithm: surprise.AlgoBase, user: int, item: int) -> float | None:
    """What the algorithm estimates, or None where it says that it cannot."""
    known_user = int(user) if user != UNKNOWN else "UKN__"
    known_item = int(item) if item != UNKNOWN else "UKN__"
    try:
        estimate = algorithm.estimate(known_user, known_item)
    except surprise.PredictionImpossible:
        return None
    return float(estimate[0] if isinstance(estimate, tuple) else estimate)
