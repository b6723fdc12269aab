"""What is known of a candidate beyond its error: how its lists do, for whom, at what cost, across time.

rmse mae                             of held-out ratings, in stars
ndcg recall precision map mrr hit_rate   of lists from the full catalogue, seen items left out
personalisation coverage diversity novelty popularity_lift gini   of the same lists, whatever was held out
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from statistics import fmean
from typing import Any

from experiments.search.trials import Trial, ranked

Figures = Mapping[str, float]

LOWER_IS_BETTER = ("rmse", "mae", "gini")
HIGHER_IS_BETTER = (
    "ndcg", "recall", "precision", "map", "mrr", "hit_rate",
    "coverage", "personalisation", "diversity", "novelty",
)  # fmt: skip
ERRORS = ("rmse", "mae")
GUESSES = "normal_predictor"  # errs most, covers everything and costs nothing: no standard for the others
BEYOND = ("personalisation", "coverage", "diversity", "novelty", "popularity_lift", "gini")


@dataclass(frozen=True)
class MeasuredCost:
    """What a candidate cost on one fold with the machine to itself. Never part of a versioned file."""

    fit_seconds: float
    predict_microseconds: float  # of one rating
    top_n_seconds: float  # lists for all users
    peak_bytes: int | None  # by which the process grew while fitting; None where the system does not tell


@dataclass(frozen=True)
class AcrossTime:
    """The same candidate trained on a random part, and on the past alone."""

    random: Figures
    time: Figures
    not_yet: float  # share of recommended items that nobody had rated by the point in time


@dataclass(frozen=True)
class Measures:
    """Everything about the best trial of one candidate; or the reason why it could not be measured."""

    trial: int
    algorithm: str
    folds: tuple[Figures, ...] = ()
    groups: Mapping[str, Figures] = field(default_factory=dict)  # of users and items; means over the folds
    curve: tuple[tuple[int, float], ...] = ()  # (epoch, mean error over the folds)
    defaults: tuple[float, ...] = ()  # the search's metric on each fold with default parameters
    across_time: AcrossTime | None = None
    failure: str | None = None
    cost: MeasuredCost | None = field(default=None, compare=False)

    def values(self, metric: str) -> list[float]:
        """A metric on each fold; NaN where its lists do not define it."""
        return [fold.get(metric, nan) for fold in self.folds]

    def mean(self, metric: str) -> float:
        """Mean of a metric over the folds."""
        return fmean(self.values(metric))

    def record(self) -> dict[str, Any]:
        """As it is written to a file: without costs, so that the same search gives the same bytes."""
        told = asdict(self)
        del told["cost"]
        return told

    @classmethod
    def from_record(cls, record: Mapping[str, Any], cost: MeasuredCost | None = None) -> "Measures":
        """Back from `record`, with its cost where that is remembered."""
        across = record["across_time"]
        return cls(
            record["trial"],
            record["algorithm"],
            tuple(record["folds"]),
            record["groups"],
            tuple((int(epoch), float(error)) for epoch, error in record["curve"]),
            tuple(record["defaults"]),
            AcrossTime(**across) if across else None,
            record["failure"],
            cost,
        )


def leaders(trials: list[Trial], metric: str) -> list[Trial]:
    """The best trial of each candidate, best first."""
    best: dict[str, Trial] = {}
    for trial in ranked(trials, metric):
        best.setdefault(trial.algorithm, trial)
    return list(best.values())
