"""Scores of every item by a fitted k-NN model, a block at a time.

A score is an average over the k nearest neighbours that rated, weighted by similarity:

    basic      sum(s r) / sum(s)
    others     base(x) + scale(x) * sum(s z) / sum(s)

where z is the neighbour's rating as its offset from the neighbour's own mean, z-score or baseline.
Ties in similarity resolve in the order of the ratings list, as `heapq.nlargest` does in Surprise.
"""

from dataclasses import dataclass

import numpy as np
import surprise
from surprise.prediction_algorithms.knns import SymmetricAlgo

from marquee.arrays import Floats, Integers


@dataclass(frozen=True)
class _Residuals:
    """How one kind of k-NN turns ratings into offsets, and offsets back into a rating."""

    base: Floats  # (n_x,) added to the average
    scale: Floats  # (n_x,) multiplies the average
    of_neighbours: Floats  # (n_x,) subtracted from a neighbour's rating, before the scale


def score_neighbours(algorithm: SymmetricAlgo, users: Integers) -> Floats:
    """Scores of every item, shape (len(users), n_items)."""
    if algorithm.sim_options["user_based"]:
        columns = [_one_y(algorithm, item, users) for item in algorithm.trainset.all_items()]
        scores = np.stack(columns, axis=1)
    else:
        everything = np.arange(algorithm.n_x, dtype=np.int32)
        scores = np.stack([_one_y(algorithm, user, everything) for user in users.tolist()])
    if isinstance(algorithm, surprise.KNNBaseline):
        trainset = algorithm.trainset
        scores += trainset.global_mean + algorithm.bu[users][:, None] + algorithm.bi
    return scores


def _one_y(algorithm: SymmetricAlgo, y: int, xs: Integers) -> Floats:
    """Scores of one item for many users (user-based), or of many items for one user."""
    neighbours = np.asarray([x for x, _ in algorithm.yr[y]], dtype=np.int32)
    ratings = np.asarray([r for _, r in algorithm.yr[y]], dtype=np.float64)
    residuals = _residuals(algorithm, y)
    offsets = (ratings - residuals.of_neighbours[neighbours]) / residuals.scale[neighbours]
    average, possible = _average(algorithm.sim[np.ix_(xs, neighbours)], offsets, algorithm.k, algorithm.min_k)
    if isinstance(algorithm, surprise.KNNBasic):
        return np.where(possible, average, algorithm.trainset.global_mean)
    return residuals.base[xs] + np.where(possible, average, 0.0) * residuals.scale[xs]


def _residuals(algorithm: SymmetricAlgo, y: int) -> _Residuals:
    zeros, ones = np.zeros(algorithm.n_x), np.ones(algorithm.n_x)
    if isinstance(algorithm, surprise.KNNBasic):
        return _Residuals(zeros, ones, zeros)
    if isinstance(algorithm, surprise.KNNBaseline):  # its base is added once for all by the caller
        baseline = algorithm.trainset.global_mean + algorithm.bx + algorithm.by[y]
        return _Residuals(zeros, ones, baseline)
    if isinstance(algorithm, surprise.KNNWithZScore):
        return _Residuals(algorithm.means, algorithm.sigmas, algorithm.means)
    return _Residuals(algorithm.means, ones, algorithm.means)


def _average(similarities: Floats, offsets: Floats, k: int, min_k: int) -> tuple[Floats, np.ndarray]:
    """Weighted average over the k most similar columns of each row, and whether there were enough."""
    values = np.broadcast_to(offsets, similarities.shape)
    if similarities.shape[1] > k:
        nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        similarities = np.take_along_axis(similarities, nearest, axis=1)
        values = offsets[nearest]
    weights = np.maximum(similarities, 0.0)
    total = weights.sum(axis=1)
    possible = ((weights > 0).sum(axis=1) >= min_k) & (total > 0)
    return (weights * values).sum(axis=1) / np.where(total > 0, total, 1.0), possible
