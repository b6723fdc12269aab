"""Measurement of the best trials: errors on the folds, lists on the validation parts, segments and cost.

    trials ─┬─► lists on part 0, then part 1, ...   one part is in memory at a time
            └─► errors on all folds                 only of models that predict ratings

Folds, and the trials of a part, are evaluated in parallel. The cost is measured afterwards, with nothing
else running. If the measurement of a trial fails (usually because memory runs out), the reason is recorded,
and the other trials are still measured.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import isfinite, nan
from statistics import fmean
from typing import TypeVar

import numpy as np

from experiments.evaluation.candidate_record import (
    CandidateMetrics,
    MeasuredCost,
    MetricValues,
    SplitComparison,
)
from experiments.evaluation.cross_validation import FoldData, FoldSeeds, fold_seeds, part_seed, train_on_folds
from experiments.evaluation.leakage import SplitPair
from experiments.evaluation.model_evaluation import (
    ModelEvaluation,
    evaluate_lists,
    evaluate_predictions,
    has_relevant_items,
)
from experiments.evaluation.parts import Part
from experiments.evaluation.peak_memory import measure_peak_memory
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.trials import Trial, describe_error
from marquee.algorithms.base import Algorithm, EpochAlgorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.shared_training import train_shared
from marquee.algorithms.threads import ONE_BLAS_THREAD, limit_threads, thread_count
from marquee.errors import DataError
from marquee.metrics.list_agreement import list_agreement
from marquee.metrics.prediction import mae, rmse
from marquee.seeds import seed_for

T = TypeVar("T")
LearningCurve = tuple[tuple[int, float], ...]  # (epoch, error)
SECONDS_PER_MICROSECOND = 1e-6
MAX_CURVE_POINTS = 20


@dataclass(frozen=True)
class EvaluationContext:
    """Data and settings shared by the measurements of all trials.

    Attributes:
        folds: folds of the training set; empty for implicit feedback.
        parts: validation parts.
        splits: the training set split at random and by time; None: leakage is not measured.
        protocol: length of the lists, and which held-out items are relevant.
        metric: rmse or mae: error in learning curves and default scores.
        seed: root seed.
    """

    folds: Sequence[FoldData]
    parts: Sequence[Part]
    splits: SplitPair | None
    protocol: EvaluationProtocol
    metric: str
    seed: int


@dataclass
class _Measurement:
    """What is known of a trial so far."""

    trial: Trial
    lists: list[ModelEvaluation] = field(default_factory=list)  # by validation part
    list_agreement: float = nan
    failure: str | None = None


def measure_trials(
    trials: Sequence[Trial], context: EvaluationContext, advance: Callable[[], object] = lambda: None
) -> list[CandidateMetrics]:
    """Train each trial again on every validation part and every fold, and compute all metrics.

    An error of one trial becomes the `failure` of its result.

    Args:
        trials: trials to measure.
        context: data and settings.
        advance: called `count_steps(trials, context)` times, to show the progress.

    Raises:
        DataError: on some part, no training user and no newcomer has a relevant held-out item.
    """
    measurements = [_Measurement(trial) for trial in trials]
    for number, part in enumerate(context.parts):
        _require_relevant_items(part, context.protocol)
        with _many_threads() as pool:
            for _ in pool.map(partial(_measure_lists, context, number, part), measurements):
                advance()
    results = []
    for measurement in measurements:
        results.append(_measure_trial(measurement, context))
        advance()
    return results


def count_steps(trials: Sequence[Trial], context: EvaluationContext) -> int:
    """Return the number of steps of `measure_trials`."""
    return len(trials) * (len(context.parts) + 1)


@contextmanager
def _many_threads() -> Iterator[ThreadPoolExecutor]:
    """Provide threads, each of which fits one model without further threads.

    NumPy's warnings are off: non-finite values are reported as divergence.
    """
    with ONE_BLAS_THREAD, ThreadPoolExecutor(thread_count()) as pool, np.errstate(all="ignore"):
        yield pool


def _require_relevant_items(part: Part, protocol: EvaluationProtocol) -> None:
    if not has_relevant_items(FoldData(part.train, part.held_out), protocol):
        raise DataError(
            f"ranking metrics are undefined: no user has a held-out value of at least "
            f"{protocol.relevance_threshold:g} in a validation part; lower measure.relevance_threshold in "
            "params.yaml"
        )


def _measure_lists(context: EvaluationContext, number: int, part: Part, measurement: _Measurement) -> None:
    """Add the lists of a trial on a validation part, or the reason for having none."""
    if measurement.failure is not None:
        return
    try:
        with limit_threads(1), np.errstate(all="ignore"):
            algorithm = _fit_on_part(measurement.trial, context, number, part)
            lists = part.audience.recommend(algorithm, context.protocol.n)
            data = FoldData(part.train, part.held_out)
            measurement.lists.append(evaluate_lists(lists, data, context.protocol, part.histories))
            if number == 0:
                measurement.list_agreement = list_agreement(lists, *part.seen)
    except Exception as error:
        measurement.failure = describe_error(error)


def _fit_on_part(trial: Trial, context: EvaluationContext, number: int, part: Part) -> Algorithm:
    """Fit the model that the search scored."""
    seed = part_seed(context.seed, trial.algorithm, number)
    algorithm = find_algorithm(trial.algorithm).create(trial.parameters, seed)
    algorithm.fit(part.train)
    return algorithm


def _measure_trial(measurement: _Measurement, context: EvaluationContext) -> CandidateMetrics:
    trial = measurement.trial
    if measurement.failure is not None:
        return CandidateMetrics(trial.number, trial.algorithm, failure=measurement.failure)
    try:
        with _many_threads() as pool:
            return _add_errors_and_cost(measurement, context, pool)
    except Exception as error:
        return CandidateMetrics(trial.number, trial.algorithm, failure=describe_error(error))


def _add_errors_and_cost(
    measurement: _Measurement, context: EvaluationContext, pool: ThreadPoolExecutor
) -> CandidateMetrics:
    trial, lists = measurement.trial, measurement.lists
    n_folds = len(context.folds) if trial.folds else 0
    results = list(pool.map(partial(_evaluate_fold, trial, context), range(n_folds)))
    errors, curves = [error for error, _ in results], [curve for _, curve in results]
    return CandidateMetrics(
        trial.number,
        trial.algorithm,
        tuple(evaluation.metrics for evaluation in errors),
        tuple(evaluation.metrics for evaluation in lists),
        _merge_segments(errors, lists),
        _mean_curve(curves),
        _or_none(_score_defaults, trial, context, pool) or (),
        _or_none(_compare_splits, trial, context, pool),
        measurement.list_agreement if isfinite(measurement.list_agreement) else None,
        cost=_measure_cost(trial, context),
    )


def _measure_cost(trial: Trial, context: EvaluationContext) -> MeasuredCost:
    """Measure one fit, all predictions and all lists of the first validation part, in one thread."""
    part = context.parts[0]
    with limit_threads(1):
        with measure_peak_memory() as memory:
            start = time.perf_counter()
            algorithm = _fit_on_part(trial, context, 0, part)
            fit_seconds = time.perf_counter() - start
        predict_microseconds = None if algorithm.is_ranker else _time_prediction(algorithm, part)
        start = time.perf_counter()
        part.audience.recommend(algorithm, context.protocol.n)
        return MeasuredCost(fit_seconds, predict_microseconds, time.perf_counter() - start, memory.peak)


def _time_prediction(algorithm: Algorithm, part: Part) -> float:
    """Return the mean time of one prediction in microseconds."""
    start = time.perf_counter()
    predict_pairs(algorithm, part.held_out)
    return (time.perf_counter() - start) / len(part.held_out.actual) / SECONDS_PER_MICROSECOND


def _evaluate_fold(
    trial: Trial, context: EvaluationContext, fold: int
) -> tuple[ModelEvaluation, LearningCurve]:
    """Evaluate the predictions of the trial's model on a fold, and its error after every epoch."""
    data, algorithm = context.folds[fold], find_algorithm(trial.algorithm)
    untrained = algorithm.create(trial.parameters, 0)
    epochs = choose_curve_epochs(untrained.n_epochs) if isinstance(untrained, EpochAlgorithm) else ()
    curve: list[tuple[int, float]] = []
    with limit_threads(1):
        for snapshot in train_shared(
            algorithm, [trial.parameters], _fold_seeds_of(trial, context)(fold), data.train, epochs
        ):
            if snapshot.epoch:
                curve.append((snapshot.epoch, _error(snapshot.algorithm, data, context.metric)))
            if snapshot.points:
                evaluation = evaluate_predictions(predict_pairs(snapshot.algorithm, data.test), data)
    return evaluation, tuple(curve)


def choose_curve_epochs(n_epochs: int) -> list[int]:
    """Return the epochs of a learning curve: all of them or, of many, evenly spaced ones with the last one.

    >>> choose_curve_epochs(3), choose_curve_epochs(60)[:3], choose_curve_epochs(60)[-1]
    ([1, 2, 3], [3, 6, 9], 60)
    """
    n_points = min(n_epochs, MAX_CURVE_POINTS)
    return [n_epochs * point // n_points for point in range(1, n_points + 1)]


def _or_none(
    work: Callable[[Trial, EvaluationContext, ThreadPoolExecutor], T | None],
    trial: Trial,
    context: EvaluationContext,
    pool: ThreadPoolExecutor,
) -> T | None:
    """Return the result, or None if the work fails: defaults may diverge although the trial does not."""
    try:
        return work(trial, context, pool)
    except Exception:
        return None


def _score_defaults(
    trial: Trial, context: EvaluationContext, pool: ThreadPoolExecutor
) -> tuple[float, ...] | None:
    """Return the error on each fold with the algorithm's default parameters; None without ratings."""
    if not trial.folds:
        return None
    if find_algorithm(trial.algorithm).are_defaults(trial.parameters):
        return tuple(trial.fold_values(context.metric))
    (step,) = train_on_folds(trial.algorithm, [{}], context.folds, _fold_seeds_of(trial, context), pool)
    return tuple(getattr(fold, context.metric) for fold in step.folds)


def _compare_splits(
    trial: Trial, context: EvaluationContext, pool: ThreadPoolExecutor
) -> SplitComparison | None:
    if context.splits is None:
        return None
    seed = seed_for(context.seed, "leakage", trial.algorithm)
    return context.splits.evaluate_trial(trial, seed, context.protocol, pool)


def _fold_seeds_of(trial: Trial, context: EvaluationContext) -> FoldSeeds:
    """Return the seeds of the search, so that training gives the same model that the search scored."""
    return fold_seeds(context.seed, trial.algorithm)


def _error(algorithm: Algorithm, data: FoldData, metric: str) -> float:
    predictions = predict_pairs(algorithm, data.test)
    return {"rmse": rmse, "mae": mae}[metric](predictions.actual, predictions.estimated)


def _merge_segments(
    errors: Sequence[ModelEvaluation], lists: Sequence[ModelEvaluation]
) -> dict[str, MetricValues]:
    """Return the metrics of each segment: errors and properties of lists."""
    means = [_mean_segments([evaluation.segments for evaluation in each]) for each in (lists, errors) if each]
    names = dict.fromkeys(name for each in means for name in each)
    return {name: {key: value for each in means for key, value in each[name].items()} for name in names}


def _mean_segments(evaluations: Sequence[dict[str, MetricValues]]) -> dict[str, MetricValues]:
    """Return the mean of each segment's metrics over the folds or parts on which they are defined."""
    return {
        segment: {
            name: fmean(each[segment][name] for each in evaluations if name in each[segment])
            for name in dict.fromkeys(name for each in evaluations for name in each[segment])
        }
        for segment in evaluations[0]
    }


def _mean_curve(folds: Sequence[LearningCurve]) -> LearningCurve:
    return tuple((points[0][0], fmean(error for _, error in points)) for points in zip(*folds, strict=True))
