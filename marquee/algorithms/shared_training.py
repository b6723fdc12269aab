"""Shared training: one training run yields the models of several parameter settings.

A fit for 60 epochs passes through the models for 20 and 40 epochs; one set of similarities serves every k;
blends of the same members differ only in weights.

    points of one algorithm that differ only in `list_varying_parameters`
        └── train_shared ──► TrainingSnapshot, ...   a model ready to predict, and its points
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from marquee.algorithms.array_allocation import physical_memory_bytes
from marquee.algorithms.base import Algorithm, EpochAlgorithm
from marquee.algorithms.knn_base import KNNAlgorithm
from marquee.algorithms.registry import BLEND, AlgorithmEntry, Parameters
from marquee.algorithms.similarities import SimilarityOptions, compute_similarity_matrices_by_name
from marquee.array_types import FloatArray
from marquee.errors import MarqueeError
from marquee.interactions.matrix import InteractionMatrix

KNN_PARAMETERS = ("similarity", "k", "min_k")
ONE_PASS_SIMILARITIES = ("cosine", "msd", "pearson")  # one pass over the ratings computes all of them
# Share of the machine's memory for the similarity matrices that one fold holds at the same time.
MAX_MEMORY_SHARE = 1 / 16


@dataclass(frozen=True)
class TrainingSnapshot:
    """Model at a certain stage of a shared training; valid until the next snapshot is requested."""

    algorithm: Algorithm
    points: tuple[int, ...]  # indices of the points it belongs to; empty after an extra epoch
    epoch: int | None  # None if the algorithm does not train by epochs
    seconds: float  # training time until this snapshot, without the caller's time between snapshots


def list_varying_parameters(entry: AlgorithmEntry) -> tuple[str, ...]:
    """Return the names of the parameters that may vary among the points of one shared training."""
    if issubclass(entry.algorithm_class, EpochAlgorithm):
        return ("n_epochs",)
    return KNN_PARAMETERS if issubclass(entry.algorithm_class, KNNAlgorithm) else ()


def check_parameter_values(entry: AlgorithmEntry, parameters: Parameters) -> None:
    """Check parameter names and values without training.

    Raises:
        ParameterError: a value is invalid.
        ConfigError: a parameter is unknown.
    """
    entry.create(parameters, 0)._check_parameters()


def train_shared(
    entry: AlgorithmEntry,
    points: Sequence[Parameters],
    seed: int,
    matrix: InteractionMatrix,
    extra_epochs: Collection[int] = (),
) -> Iterator[TrainingSnapshot]:
    """Train once, and yield for every point the model that fitting it separately would give.

    Args:
        entry: algorithm to train.
        points: parameter settings that differ only in `list_varying_parameters`.
        seed: seed of all points.
        matrix: training ratings.
        extra_epochs: epochs after which to yield another snapshot, if the algorithm trains by epochs.

    Raises:
        ParameterError, DivergedError, DataError: see `Algorithm.fit`.
    """
    if issubclass(entry.algorithm_class, EpochAlgorithm):
        return _train_epochs(entry, points, seed, matrix, extra_epochs)
    if issubclass(entry.algorithm_class, KNNAlgorithm):
        return _train_knn(entry, points, seed, matrix)
    if entry.name == BLEND:
        return _train_blends(entry, points, seed, matrix)
    return _train_separately(entry, points, seed, matrix)


def _train_separately(
    entry: AlgorithmEntry, points: Sequence[Parameters], seed: int, matrix: InteractionMatrix
) -> Iterator[TrainingSnapshot]:
    for index, point in enumerate(points):
        algorithm, start = entry.create(point, seed), time.perf_counter()
        algorithm.fit(matrix)
        yield TrainingSnapshot(algorithm, (index,), None, time.perf_counter() - start)


def _train_blends(
    entry: AlgorithmEntry, points: Sequence[Parameters], seed: int, matrix: InteractionMatrix
) -> Iterator[TrainingSnapshot]:
    """Fit each distinct member once, and keep its scores for the next blend if memory allows.

    A member that cannot be fitted fails only the blends that contain it: all others are yielded first.
    """
    from marquee.algorithms.blend import Blend, SharedMembers

    shared, failure = SharedMembers(physical_memory_bytes() * MAX_MEMORY_SHARE), None
    for index, point in enumerate(points):
        blend = entry.create(point, seed)
        assert isinstance(blend, Blend), "the class of this entry"
        blend.shared = shared
        try:
            blend.fit(matrix)
        except MarqueeError as error:
            failure = failure or error
            continue
        yield TrainingSnapshot(
            blend, (index,), None, sum(shared.fit_seconds[key] for key in blend.member_keys)
        )
    if failure is not None:
        raise failure


def _train_epochs(
    entry: AlgorithmEntry,
    points: Sequence[Parameters],
    seed: int,
    matrix: InteractionMatrix,
    extra_epochs: Collection[int],
) -> Iterator[TrainingSnapshot]:
    """Train for the largest number of epochs, with a snapshot after the last epoch of each point."""
    points_by_epoch: dict[int, list[int]] = defaultdict(list)
    for index, point in enumerate(points):
        check_parameter_values(entry, point)  # first, because `n_epochs` must be an integer below
        points_by_epoch[entry.create(point, seed).n_epochs].append(index)
    untrained = tuple(points_by_epoch.pop(0, ()))
    for snapshot in _train_separately(entry, [points[index] for index in untrained[:1]], seed, matrix):
        yield replace(snapshot, points=untrained, epoch=0)
    if not points_by_epoch:
        return
    longest = entry.create(points[points_by_epoch[max(points_by_epoch)][0]], seed)
    seconds, resumed = 0.0, time.perf_counter()
    for epoch in longest.fit_by_epoch(matrix):
        seconds += time.perf_counter() - resumed
        if epoch.number in extra_epochs or epoch.number in points_by_epoch:
            finished = tuple(points_by_epoch.get(epoch.number, ()))
            yield TrainingSnapshot(longest, finished, epoch.number, seconds)
        resumed = time.perf_counter()


def _train_knn(
    entry: AlgorithmEntry, points: Sequence[Parameters], seed: int, matrix: InteractionMatrix
) -> Iterator[TrainingSnapshot]:
    """Compute the similarities in as few passes as possible, and use each matrix for all values of k."""
    models = [entry.create(point, seed) for point in points]
    points_by_similarity: dict[str, list[int]] = defaultdict(list)
    for index, model in enumerate(models):
        check_parameter_values(entry, points[index])
        points_by_similarity[SimilarityOptions.parse(model.sim_options).name].append(index)
    start = time.perf_counter()
    similarities = _one_pass_similarities(models[0], list(points_by_similarity), matrix)
    pass_seconds = time.perf_counter() - start
    for name, indices in points_by_similarity.items():
        fitted, start = models[indices[0]], time.perf_counter()
        if name in similarities:
            start -= pass_seconds  # a separate fit would need the whole pass
            fitted.fit_with_similarities(matrix, similarities.pop(name))
        else:
            fitted.fit(matrix)
        seconds = time.perf_counter() - start
        for index in indices:
            model = copy(fitted)
            model.k, model.min_k = models[index].k, models[index].min_k
            yield TrainingSnapshot(model, (index,), None, seconds)


def _one_pass_similarities(
    model: KNNAlgorithm, names: Sequence[str], matrix: InteractionMatrix
) -> dict[str, FloatArray]:
    """Compute the similarity matrices that can share a pass; none if they need too much memory at once."""
    options = SimilarityOptions.parse(model.sim_options)
    names = [name for name in names if name in ONE_PASS_SIMILARITIES]
    n_x = matrix.n_users if options.user_based else matrix.n_items
    n_bytes = len(names) * n_x**2 * np.dtype(model.dtype).itemsize
    if len(names) < 2 or n_bytes > physical_memory_bytes() * MAX_MEMORY_SHARE:
        return {}
    return compute_similarity_matrices_by_name(matrix, names, options, dtype=model.dtype)
