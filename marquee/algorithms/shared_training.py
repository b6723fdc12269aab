"""One training that answers for many parameters: every smaller `n_epochs`, every k of the same neighbours.

points of one candidate that differ in nothing but what `swept` names
    └── sweep ──► Stop, Stop, ...   a model ready to predict, and the points that it is the model of
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from marquee.algorithms.base import Algorithm, EpochAlgorithm
from marquee.algorithms.knn_base import SymmetricAlgorithm
from marquee.algorithms.memory import physical_memory
from marquee.algorithms.registry import Candidate, Parameters
from marquee.algorithms.similarities import SimilarityOptions, shared_similarities
from marquee.arrays import Real
from marquee.interactions.matrix import RatingMatrix

NEIGHBOURS = ("similarity", "k", "min_k")
TOGETHER = ("cosine", "msd", "pearson")  # similarities that one pass over the ratings gives
SHARE = 1 / 16  # of memory, that they may take on one fold


@dataclass(frozen=True)
class Stop:
    """A model on the way. It is good until the next one is asked for."""

    algorithm: Algorithm
    points: tuple[int, ...]  # which of the points it is the model of; none where somebody only looks in
    epoch: int | None  # None: it does not train by epochs
    seconds: float  # that training took until here; what was done with the models before is not counted


def swept(candidate: Candidate) -> tuple[str, ...]:
    """Parameters of which one training answers for every value."""
    if issubclass(candidate.factory, EpochAlgorithm):
        return ("n_epochs",)
    return NEIGHBOURS if issubclass(candidate.factory, SymmetricAlgorithm) else ()


def check_point(candidate: Candidate, point: Parameters) -> None:
    """Refuse a point that cannot be used, before any training.

    Raises:
        ParameterError, ConfigError: names the parameter.
    """
    candidate.make(point, 0)._check_parameters()


def sweep(
    candidate: Candidate,
    points: Sequence[Parameters],
    seed: int,
    matrix: RatingMatrix,
    looks: Collection[int] = (),
) -> Iterator[Stop]:
    """Train once, and stop at the model of every point: the one that fitting it alone would give.

    Args:
        candidate: which algorithm.
        points: parameters that differ in `swept` ones only.
        seed: of all of them.
        matrix: the ratings.
        looks: epochs after which to stop besides, where it trains by epochs.

    Raises:
        ParameterError, DivergedError, DataError: as fitting does.
    """
    if issubclass(candidate.factory, EpochAlgorithm):
        return _by_epochs(candidate, points, seed, matrix, looks)
    if issubclass(candidate.factory, SymmetricAlgorithm):
        return _by_neighbours(candidate, points, seed, matrix)
    return _alone(candidate, points, seed, matrix)


def _alone(
    candidate: Candidate, points: Sequence[Parameters], seed: int, matrix: RatingMatrix
) -> Iterator[Stop]:
    for number, point in enumerate(points):
        algorithm, began = candidate.make(point, seed), time.perf_counter()
        algorithm.fit(matrix)
        yield Stop(algorithm, (number,), None, time.perf_counter() - began)


def _by_epochs(
    candidate: Candidate,
    points: Sequence[Parameters],
    seed: int,
    matrix: RatingMatrix,
    looks: Collection[int],
) -> Iterator[Stop]:
    """The longest training, left open at each point's last epoch."""
    at: dict[int, list[int]] = defaultdict(list)
    for number, point in enumerate(points):
        check_point(candidate, point)  # a wrong number of epochs is no key to sort by
        at[candidate.make(point, seed).n_epochs].append(number)
    untrained = tuple(at.pop(0, ()))
    for stop in _alone(candidate, [points[number] for number in untrained[:1]], seed, matrix):
        yield replace(stop, points=untrained, epoch=0)
    if not at:
        return
    longest = candidate.make(points[at[max(at)][0]], seed)
    stops, seconds, last = {*looks, *at}, 0.0, time.perf_counter()
    for epoch in longest.epochs(matrix):
        seconds += time.perf_counter() - last
        if epoch.number in stops:
            yield Stop(longest, tuple(at.get(epoch.number, ())), epoch.number, seconds)
        last = time.perf_counter()


def _by_neighbours(
    candidate: Candidate, points: Sequence[Parameters], seed: int, matrix: RatingMatrix
) -> Iterator[Stop]:
    """One pass over the ratings for the similarities that can share it, and each matrix for every k."""
    models = [candidate.make(point, seed) for point in points]
    groups: dict[str, list[int]] = defaultdict(list)
    for number, model in enumerate(models):
        check_point(candidate, points[number])
        groups[SimilarityOptions.read(model.sim_options).name].append(number)
    began = time.perf_counter()
    shared = _shared(models[0], list(groups), matrix)
    passed = time.perf_counter() - began
    for name, numbers in groups.items():
        fitted, began = models[numbers[0]], time.perf_counter()
        if name in shared:
            began -= passed  # alone it would take no less
            fitted.fit_similar(matrix, shared.pop(name))
        else:
            fitted.fit(matrix)
        seconds = time.perf_counter() - began
        for number in numbers:
            again = copy(fitted)
            again.k, again.min_k = models[number].k, models[number].min_k
            yield Stop(again, (number,), None, seconds)


def _shared(model: SymmetricAlgorithm, names: Sequence[str], matrix: RatingMatrix) -> dict[str, Real]:
    """The similarities of which one pass gives several, unless they take too much memory at once."""
    options = SimilarityOptions.read(model.sim_options)
    able = [name for name in names if name in TOGETHER]
    n_x = matrix.n_users if options.user_based else matrix.n_items
    if len(able) < 2 or len(able) * n_x**2 * np.dtype(model.dtype).itemsize > physical_memory() * SHARE:
        return {}
    return shared_similarities(matrix, able, options, dtype=model.dtype)
