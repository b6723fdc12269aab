"""What a fitted algorithm says: of pairs, to measure its error, and of all items, to rank them.

Scores of all items are the algorithm's own estimates, unclipped (clipping to the scale would tie
the best items). An impossible estimate is the global mean, as in `AlgoBase.predict`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import surprise
from surprise.prediction_algorithms.knns import SymmetricAlgo

from marquee.algorithms.neighbours import score_neighbours
from marquee.algorithms.trainset import Testset
from marquee.arrays import Floats, Integers, Mask, ScoreBlock


@dataclass(frozen=True)
class Predictions:
    """Predicted ratings of pairs, clipped to the scale, beside the true ones."""

    actual: Floats
    estimated: Floats
    impossible: Mask  # where the global mean stands in for an estimate


def predict_pairs(algorithm: surprise.AlgoBase, testset: Testset) -> Predictions:
    """Predict every pair of a test set, in its order."""
    predictions = algorithm.test(testset)
    return Predictions(
        np.array([p.r_ui for p in predictions], dtype=np.float64),
        np.array([p.est for p in predictions], dtype=np.float64),
        np.array([p.details["was_impossible"] for p in predictions], dtype=np.bool_),
    )


def score_all(algorithm: surprise.AlgoBase) -> ScoreBlock:
    """A function from inner user ids, shape (n,), to scores, shape (n, n_items)."""
    for kind, score in _SCORERS.items():
        if isinstance(algorithm, kind):
            return partial(score, algorithm)
    return partial(_estimate_each, algorithm)


def item_space(algorithm: surprise.AlgoBase) -> tuple[Floats, Floats] | None:
    """Item factors (n_items, k) and item biases (n_items,) of a factor model; None for the others."""
    if not isinstance(algorithm, surprise.SVD | surprise.SVDpp | surprise.NMF):
        return None
    factors = np.asarray(algorithm.qi)
    biases = np.asarray(algorithm.bi) if getattr(algorithm, "biased", True) else np.zeros(len(factors))
    return factors, biases


def _score_factors(algorithm: surprise.AlgoBase, users: Integers) -> Floats:
    scores = algorithm.pu[users] @ algorithm.qi.T
    if getattr(algorithm, "biased", True):
        scores += algorithm.trainset.global_mean + algorithm.bu[users][:, None] + algorithm.bi
    return np.asarray(scores)


def _score_svdpp(algorithm: surprise.SVDpp, users: Integers) -> Floats:
    """A user's vector is `pu` plus the mean-scaled sum of the `yj` of the rated items (Koren 2008)."""
    implicit = np.zeros((len(users), algorithm.yj.shape[1]))
    for row, user in enumerate(users.tolist()):
        rated = [item for item, _ in algorithm.trainset.ur[user]]
        implicit[row] = algorithm.yj[rated].sum(axis=0) / np.sqrt(len(rated))
    scores = (algorithm.pu[users] + implicit) @ algorithm.qi.T
    return np.asarray(scores + algorithm.trainset.global_mean + algorithm.bu[users][:, None] + algorithm.bi)


def _score_baseline(algorithm: surprise.BaselineOnly, users: Integers) -> Floats:
    return np.asarray(algorithm.trainset.global_mean + algorithm.bu[users][:, None] + algorithm.bi)


def _score_slope_one(algorithm: surprise.SlopeOne, users: Integers) -> Floats:
    """User mean plus the mean deviation from the rated items that share a user with the target."""
    scores = np.empty((len(users), algorithm.trainset.n_items))
    for row, user in enumerate(users.tolist()):
        rated = [item for item, _ in algorithm.trainset.ur[user]]
        shared = algorithm.freq[:, rated] > 0
        total = np.where(shared, algorithm.dev[:, rated], 0.0).sum(axis=1)
        count = shared.sum(axis=1)
        scores[row] = algorithm.user_mean[user] + total / np.maximum(count, 1)
    return scores


def _score_co_clusters(algorithm: surprise.CoClustering, users: Integers) -> Floats:
    of_user, of_item = algorithm.cltr_u[users], algorithm.cltr_i
    user_part = algorithm.user_mean[users] - algorithm.avg_cltr_u[of_user]
    item_part = algorithm.item_mean - algorithm.avg_cltr_i[of_item]
    return np.asarray(algorithm.avg_cocltr[np.ix_(of_user, of_item)] + user_part[:, None] + item_part)


def _score_random(algorithm: surprise.NormalPredictor, users: Integers) -> Floats:
    """One draw a pair."""
    return np.asarray([[algorithm.estimate() for _ in range(algorithm.trainset.n_items)] for _ in users])


def _estimate_each(algorithm: surprise.AlgoBase, users: Integers) -> Floats:
    """The slow way, for an algorithm of which only `estimate` is known."""
    return np.asarray(
        [[_estimate(algorithm, u, i) for i in algorithm.trainset.all_items()] for u in users.tolist()]
    )


def _estimate(algorithm: surprise.AlgoBase, user: int, item: int) -> float:
    try:
        estimate = algorithm.estimate(user, item)
    except surprise.PredictionImpossible:
        return float(algorithm.trainset.global_mean)
    return float(estimate[0] if isinstance(estimate, tuple) else estimate)


_SCORERS: dict[type, Callable[[surprise.AlgoBase, Integers], Floats]] = {
    surprise.SVD: _score_factors,
    surprise.NMF: _score_factors,
    surprise.SVDpp: _score_svdpp,
    surprise.BaselineOnly: _score_baseline,
    surprise.SlopeOne: _score_slope_one,
    surprise.CoClustering: _score_co_clusters,
    surprise.NormalPredictor: _score_random,
    SymmetricAlgo: score_neighbours,
}
