"""Metrics of a candidate's best trial: prediction error, ranking, beyond-accuracy, segments and cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from statistics import fmean
from typing import Any

from experiments.search.metric import MetricSetting
from experiments.search.trials import Trial, rank_trials

MetricValues = Mapping[str, float]

# Random predictions have the worst error, full coverage and almost no cost, which would distort trade-offs
# and the scales of figures.
RANDOM_BASELINE = "normal_predictor"


@dataclass(frozen=True)
class MeasuredCost:
    """Cost of a candidate on one fold, with nothing else running. Never part of a versioned file."""

    fit_seconds: float
    predict_microseconds: float  # per rating
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
    """All metrics of a candidate's best trial, or the reason why it could not be evaluated."""

    trial: int
    algorithm: str
    folds: tuple[MetricValues, ...] = ()
    segments: Mapping[str, MetricValues] = field(default_factory=dict)  # means over the folds
    learning_curve: tuple[tuple[int, float], ...] = ()  # (epoch, mean error over the folds)
    default_scores: tuple[float, ...] = ()  # search metric on each fold with default parameters
    split_comparison: SplitComparison | None = None
    failure: str | None = None
    cost: MeasuredCost | None = field(default=None, compare=False)

    def fold_values(self, metric: str) -> list[float]:
        """Return the value of a metric on each fold; NaN on folds where it is undefined."""
        return [fold.get(metric, nan) for fold in self.folds]

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the folds."""
        return fmean(self.fold_values(metric))

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
            record["segments"],
            tuple((int(epoch), float(error)) for epoch, error in record["learning_curve"]),
            tuple(record["default_scores"]),
            SplitComparison(**comparison) if comparison else None,
            record["failure"],
            cost,
        )


def best_trial_per_candidate(trials: list[Trial], metric: MetricSetting) -> list[Trial]:
    """Return the best trial of each candidate, best first."""
    best: dict[str, Trial] = {}
    for trial in rank_trials(trials, metric):
        best.setdefault(trial.algorithm, trial)
    return list(best.values())
