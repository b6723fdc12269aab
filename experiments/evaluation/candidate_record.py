"""Metrics of measured trials: errors on folds, lists on validation parts, segments and cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from statistics import fmean
from typing import Any

from experiments.evaluation.metric_names import ERRORS
from experiments.search.metric import MetricSetting
from experiments.search.trials import Trial, rank_trials
from marquee.top_n import MAX_PERSONAL_AGREEMENT

MetricValues = Mapping[str, float]

FOLD_METRICS = (*ERRORS, "impossible")  # only models that predict ratings have them


@dataclass(frozen=True)
class MeasuredCost:
    """Cost of a trial on one validation part, with nothing else running. Never part of a versioned file."""

    fit_seconds: float
    predict_microseconds: float | None  # per rating; None if the model predicts no ratings
    top_n_seconds: float  # lists for all users
    peak_bytes: int | None  # growth of the process during the fit; None if the system does not report it


@dataclass(frozen=True)
class SplitComparison:
    """Metrics of one candidate under a random split and under a time split."""

    random: MetricValues
    time: MetricValues
    unrated_share: float  # share of items recommended under the random split that had no rating at the cutoff


@dataclass(frozen=True)
class CandidateMetrics:
    """All metrics of a trial, or the reason why it could not be measured.

    Attributes:
        trial: number of the trial.
        algorithm: name of the algorithm in the registry.
        folds: errors on each fold; empty if the model predicts no ratings.
        parts: metrics of the lists on each validation part.
        segments: means over the folds (errors) and the parts (lists), by name of the segment.
        learning_curve: epochs and the mean error over the folds after each.
        default_scores: error on each fold with default parameters.
        split_comparison: metrics under a random split and a time split.
        list_agreement: share of the items that two users' lists have in common, apart from seen ones, on the
            first part; None if it is undefined.
        failure: reason why it could not be measured.
        cost: cost of a fit and of its predictions.
    """

    trial: int
    algorithm: str
    folds: tuple[MetricValues, ...] = ()
    parts: tuple[MetricValues, ...] = ()
    segments: Mapping[str, MetricValues] = field(default_factory=dict)
    learning_curve: tuple[tuple[int, float], ...] = ()
    default_scores: tuple[float, ...] = ()
    split_comparison: SplitComparison | None = None
    list_agreement: float | None = None
    failure: str | None = None
    cost: MeasuredCost | None = field(default=None, compare=False)

    @property
    def is_personal(self) -> bool:
        """False if nearly all users get the same list."""
        return self.list_agreement is None or self.list_agreement <= MAX_PERSONAL_AGREEMENT

    def fold_values(self, metric: str) -> list[float]:
        """Return an error on each fold, or a metric of lists on each part; NaN where it is undefined."""
        scores = self.folds if metric in FOLD_METRICS else self.parts
        return [score.get(metric, nan) for score in scores]

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the folds or the parts; NaN if it was not measured."""
        values = self.fold_values(metric)
        return fmean(values) if values else nan

    def to_record(self) -> dict[str, Any]:
        """Return the metrics as JSON values, without costs: equal searches must give equal files."""
        record = asdict(self)
        del record["cost"]
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any], cost: MeasuredCost | None = None) -> "CandidateMetrics":
        """Restore the metrics from the result of `to_record`, with the cost if it is known."""
        comparison = record["split_comparison"]
        return cls(
            record["trial"],
            record["algorithm"],
            tuple(record["folds"]),
            tuple(record["parts"]),
            record["segments"],
            tuple((int(epoch), float(error)) for epoch, error in record["learning_curve"]),
            tuple(record["default_scores"]),
            SplitComparison(**comparison) if comparison else None,
            record["list_agreement"],
            record["failure"],
            cost,
        )


def best_trial_per_candidate(trials: list[Trial], metric: MetricSetting) -> list[Trial]:
    """Return the best trial of each candidate, best first."""
    best: dict[str, Trial] = {}
    for trial in rank_trials(trials, metric):
        best.setdefault(trial.algorithm, trial)
    return list(best.values())
