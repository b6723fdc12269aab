"""Measures the best trial of each candidate on the folds of the search.

The folds go side by side; its cost is taken then, with nothing beside it and everything loaded. A candidate
that cannot be measured (for want of memory, mostly) is kept with its reason, and the others go on.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TypeVar

import numpy as np

from experiments.evaluation.candidate_metrics import AcrossTime, Figures, MeasuredCost, Measures
from experiments.evaluation.cross_validation import Part, Parts, Seeds, fold_seeds, steps
from experiments.evaluation.leakage import Crossing
from experiments.evaluation.model_evaluation import Judgement, Rule, has_hits, judge_model, recommend
from experiments.evaluation.peak_memory import footprint
from experiments.search.trials import Trial, reason_of
from marquee.algorithms.base import Algorithm, EpochAlgorithm
from marquee.algorithms.registry import candidate
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.shared_training import sweep
from marquee.algorithms.threads import ONE_BLAS_THREAD, n_threads, threads
from marquee.errors import DataError
from marquee.metrics.prediction import mae, rmse
from marquee.seeds import seed_for

T = TypeVar("T")
Curve = tuple[tuple[int, float], ...]  # (epoch, error)
MICRO = 1e-6


@dataclass(frozen=True)
class Setting:
    """What all candidates are measured on, and by which rule."""

    parts: Parts
    crossing: Crossing | None  # None: not across time
    rule: Rule
    metric: str  # rmse or mae: of the curves, and of what default parameters come to
    seed: int  # the root

    def check(self) -> None:
        """Refuse a rule by which lists cannot be judged.

        Raises:
            DataError: on some fold nobody has a relevant held-out item.
        """
        if not all(has_hits(self.parts[fold], self.rule) for fold in range(len(self.parts))):
            raise DataError(
                f"nobody has a held-out rating of {self.rule.relevant_from:g} or more, by which lists are "
                "judged: lower measure.relevant_from in params.yaml"
            )


def measure(trial: Trial, setting: Setting) -> Measures:
    """Train a trial's candidate again on every fold, and measure all that there is."""
    with ONE_BLAS_THREAD, ThreadPoolExecutor(n_threads()) as pool, np.errstate(all="ignore"):
        try:
            return _measured(trial, setting, pool)
        except Exception as error:
            return Measures(trial.number, trial.algorithm, failure=reason_of(error))


def _measured(trial: Trial, setting: Setting, pool: ThreadPoolExecutor) -> Measures:
    folds = list(pool.map(partial(_on_fold, trial, setting), range(len(setting.parts))))
    return Measures(
        trial.number,
        trial.algorithm,
        tuple(judgement.figures for judgement, _ in folds),
        _mean_groups([judgement.groups for judgement, _ in folds]),
        _mean_curve([curve for _, curve in folds]),
        _if_possible(_with_defaults, trial, setting, pool) or (),
        _if_possible(_across_time, trial, setting, pool),
        cost=_cost(trial, setting),
    )


def _cost(trial: Trial, setting: Setting) -> MeasuredCost:
    """One fit, all predictions and all lists of one fold, by one thread that has the machine to itself."""
    matrix, pairs = setting.parts[0]
    algorithm = candidate(trial.algorithm).make(trial.parameters, _seeds(trial, setting)(0))
    with threads(1):
        with footprint() as memory:
            began = time.perf_counter()
            algorithm.fit(matrix)
            fitted = time.perf_counter()
        predict_pairs(algorithm, pairs)
        predicted = time.perf_counter()
        recommend(algorithm, matrix, setting.rule.n)
        listed = time.perf_counter()
    each = (predicted - fitted) / len(pairs.actual)
    return MeasuredCost(fitted - began, each / MICRO, listed - predicted, memory.peak)


def _on_fold(trial: Trial, setting: Setting, fold: int) -> tuple[Judgement, Curve]:
    """The trial's own model on a fold, and its error after every epoch on the way there."""
    part, known = setting.parts[fold], candidate(trial.algorithm)
    longest = known.make(trial.parameters, 0)
    looks = range(1, longest.n_epochs + 1) if isinstance(longest, EpochAlgorithm) else ()
    curve: list[tuple[int, float]] = []
    with threads(1):
        for stop in sweep(known, [trial.parameters], _seeds(trial, setting)(fold), part[0], looks):
            if stop.epoch:
                curve.append((stop.epoch, _error(stop.algorithm, part, setting.metric)))
            if stop.points:
                judgement = judge_model(stop.algorithm, part, setting.rule)
    return judgement, tuple(curve)


def _if_possible(
    work: Callable[[Trial, Setting, ThreadPoolExecutor], T | None],
    trial: Trial,
    setting: Setting,
    pool: ThreadPoolExecutor,
) -> T | None:
    """What is told beside the trial; None where that fails: defaults may diverge where the trial does not."""
    try:
        return work(trial, setting, pool)
    except Exception:
        return None


def _with_defaults(trial: Trial, setting: Setting, pool: ThreadPoolExecutor) -> tuple[float, ...]:
    """The error on each fold with the parameters that the algorithm has where none are given."""
    if candidate(trial.algorithm).is_default(trial.parameters):
        return tuple(trial.values(setting.metric))
    seeds = _seeds(trial, setting)
    (step,) = steps(trial.algorithm, [{}], setting.parts, seeds, pool)
    return tuple(getattr(fold, setting.metric) for fold in step.folds)


def _across_time(trial: Trial, setting: Setting, pool: ThreadPoolExecutor) -> AcrossTime | None:
    if setting.crossing is None:
        return None
    seed = seed_for(setting.seed, "leakage", trial.algorithm)
    return setting.crossing.measure(trial, seed, setting.rule, pool)


def _seeds(trial: Trial, setting: Setting) -> Seeds:
    """Those of the search: what is measured is the very model that was scored there."""
    return fold_seeds(setting.seed, trial.algorithm)


def _error(algorithm: Algorithm, part: Part, metric: str) -> float:
    predictions = predict_pairs(algorithm, part[1])
    return {"rmse": rmse, "mae": mae}[metric](predictions.actual, predictions.estimated)


def _mean_groups(folds: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """The mean over folds of each group's figures; of those folds that have it."""
    return {
        group: {
            name: fmean(fold[group][name] for fold in folds if name in fold[group])
            for name in dict.fromkeys(name for fold in folds for name in fold[group])
        }
        for group in folds[0]
    }


def _mean_curve(folds: Sequence[Curve]) -> Curve:
    return tuple((points[0][0], fmean(error for _, error in points)) for points in zip(*folds, strict=True))
