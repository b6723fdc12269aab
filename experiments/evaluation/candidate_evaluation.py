"""Evaluation of each candidate's best trial on the folds of the search.

Folds are evaluated in parallel. The cost is measured afterwards, on one fold, with nothing else running. If
the evaluation of a candidate fails (usually because memory runs out), the reason is recorded, and the other
candidates are still evaluated.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TypeVar

import numpy as np

from experiments.evaluation.candidate_record import (
    CandidateMetrics,
    MeasuredCost,
    MetricValues,
    SplitComparison,
)
from experiments.evaluation.cross_validation import FoldData, Folds, FoldSeeds, fold_seeds, train_on_folds
from experiments.evaluation.leakage import SplitPair
from experiments.evaluation.model_evaluation import (
    ModelEvaluation,
    evaluate_model,
    has_relevant_items,
    recommend_to_all_users,
)
from experiments.evaluation.peak_memory import measure_peak_memory
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.trials import Trial, describe_error
from marquee.algorithms.base import Algorithm, EpochAlgorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.shared_training import train_shared
from marquee.algorithms.threads import ONE_BLAS_THREAD, limit_threads, thread_count
from marquee.errors import DataError
from marquee.metrics.prediction import mae, rmse
from marquee.seeds import seed_for

T = TypeVar("T")
LearningCurve = tuple[tuple[int, float], ...]  # (epoch, error)
SECONDS_PER_MICROSECOND = 1e-6


@dataclass(frozen=True)
class EvaluationContext:
    """Data and settings shared by the evaluations of all candidates."""

    folds: Folds
    splits: SplitPair | None  # None: leakage is not measured
    protocol: EvaluationProtocol
    metric: str  # rmse or mae: error in learning curves and default scores
    seed: int  # root seed

    def require_relevant_items(self) -> None:
        """Check that ranking metrics are defined on all folds.

        Raises:
            DataError: on some fold, no training user has a relevant held-out item.
        """
        if not all(has_relevant_items(data, self.protocol) for data in self.folds):
            raise DataError(
                f"ranking metrics are undefined: no user has a held-out rating of at least "
                f"{self.protocol.relevance_threshold:g}; lower measure.relevance_threshold in params.yaml"
            )


def evaluate_candidate(trial: Trial, context: EvaluationContext) -> CandidateMetrics:
    """Train a candidate with a trial's parameters on every fold again, and compute all metrics.

    An error becomes the `failure` of the result.
    """
    # NumPy's warnings are off: non-finite values are reported as divergence.
    with ONE_BLAS_THREAD, ThreadPoolExecutor(thread_count()) as pool, np.errstate(all="ignore"):
        try:
            return _evaluate(trial, context, pool)
        except Exception as error:
            return CandidateMetrics(trial.number, trial.algorithm, failure=describe_error(error))


def _evaluate(trial: Trial, context: EvaluationContext, pool: ThreadPoolExecutor) -> CandidateMetrics:
    results = list(pool.map(partial(_evaluate_fold, trial, context), range(len(context.folds))))
    evaluations, curves = zip(*results, strict=True)
    return CandidateMetrics(
        trial.number,
        trial.algorithm,
        tuple(evaluation.metrics for evaluation in evaluations),
        _mean_segments([evaluation.segments for evaluation in evaluations]),
        _mean_curve(curves),
        _or_none(_score_defaults, trial, context, pool) or (),
        _or_none(_compare_splits, trial, context, pool),
        cost=_measure_cost(trial, context),
    )


def _measure_cost(trial: Trial, context: EvaluationContext) -> MeasuredCost:
    """Measure one fit, all predictions and all lists of one fold, in one thread."""
    data = context.folds[0]
    algorithm = find_algorithm(trial.algorithm).create(trial.parameters, _fold_seeds_of(trial, context)(0))
    with limit_threads(1):
        with measure_peak_memory() as memory:
            start = time.perf_counter()
            algorithm.fit(data.train)
            fitted = time.perf_counter()
        predict_pairs(algorithm, data.test)
        predicted = time.perf_counter()
        recommend_to_all_users(algorithm, data.train, context.protocol.n)
        recommended = time.perf_counter()
    seconds_per_rating = (predicted - fitted) / len(data.test.actual)
    return MeasuredCost(
        fitted - start, seconds_per_rating / SECONDS_PER_MICROSECOND, recommended - predicted, memory.peak
    )


def _evaluate_fold(
    trial: Trial, context: EvaluationContext, fold: int
) -> tuple[ModelEvaluation, LearningCurve]:
    """Evaluate the trial's model on a fold; the learning curve has its error after every epoch."""
    data, algorithm = context.folds[fold], find_algorithm(trial.algorithm)
    untrained = algorithm.create(trial.parameters, 0)
    epochs = range(1, untrained.n_epochs + 1) if isinstance(untrained, EpochAlgorithm) else ()
    curve: list[tuple[int, float]] = []
    with limit_threads(1):
        for snapshot in train_shared(
            algorithm, [trial.parameters], _fold_seeds_of(trial, context)(fold), data.train, epochs
        ):
            if snapshot.epoch:
                curve.append((snapshot.epoch, _error(snapshot.algorithm, data, context.metric)))
            if snapshot.points:
                evaluation = evaluate_model(snapshot.algorithm, data, context.protocol)
    return evaluation, tuple(curve)


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
    """Return the error on each fold with the algorithm's default parameters; None for a ranking model."""
    if find_algorithm(trial.algorithm).algorithm_class.is_ranker:
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


def _mean_segments(folds: Sequence[dict[str, MetricValues]]) -> dict[str, MetricValues]:
    """Return the mean of each segment's metrics over the folds on which they are defined."""
    return {
        segment: {
            name: fmean(fold[segment][name] for fold in folds if name in fold[segment])
            for name in dict.fromkeys(name for fold in folds for name in fold[segment])
        }
        for segment in folds[0]
    }


def _mean_curve(folds: Sequence[LearningCurve]) -> LearningCurve:
    return tuple((points[0][0], fmean(error for _, error in points)) for points in zip(*folds, strict=True))
