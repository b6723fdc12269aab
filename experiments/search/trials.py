"""Trials: one candidate with one set of parameters, and its scores on every fold.

Evaluation, selection and reports read trials, so this module must not import Optuna.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any

from marquee.algorithms.registry import find_algorithm

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class FoldScore:
    """Result of one fit on one fold. Errors are in stars, times in seconds."""

    rmse: float
    mae: float
    impossible: float  # share of predictions that fell back to the global mean
    model_bytes: int
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class TrialCost:
    """Mean times of a trial over its folds.

    Times differ from run to run, so they are never part of a versioned file.
    """

    fit_seconds: float
    predict_seconds: float

    @classmethod
    def mean_of_folds(cls, folds: Sequence[FoldScore]) -> "TrialCost":
        """Return the mean times of these folds."""
        return cls(fmean(fold.fit_seconds for fold in folds), fmean(fold.predict_seconds for fold in folds))


@dataclass(frozen=True)
class Trial:
    """One point of a candidate's search space with a score for each fold, or the reason for having none."""

    number: int
    algorithm: str
    parameters: Mapping[str, Any]
    folds: tuple[FoldScore, ...] = ()
    failure: str | None = None
    cost: TrialCost | None = field(default=None, compare=False)
    pruned: str | None = None  # where the pruner stopped its training
    curve: tuple[tuple[int, float], ...] = field(default=(), compare=False)  # (epoch, mean error)

    @property
    def label(self) -> str:
        """Name of the trial for display: `SVD (n_factors=50)`."""
        return f"{self.algorithm_title} ({self.parameters_text})" if self.parameters else self.algorithm_title

    @property
    def parameters_text(self) -> str:
        """Parameters for display: `n_factors=50, reg_all=0.02`."""
        return ", ".join(f"{name}={value}" for name, value in self.parameters.items())

    @property
    def algorithm_title(self) -> str:
        """Display name of the algorithm."""
        return find_algorithm(self.algorithm).title

    @property
    def model_bytes(self) -> int:
        """Size of the largest model over the folds."""
        return max(fold.model_bytes for fold in self.folds)

    def mean(self, name: str) -> float:
        """Return the mean of a score over the folds."""
        return fmean(self.fold_values(name))

    def std(self, name: str) -> float:
        """Return the sample standard deviation of a score over the folds."""
        return stdev(self.fold_values(name))

    def fold_values(self, name: str) -> list[float]:
        """Return a score by its name, for each fold."""
        return [getattr(fold, name) for fold in self.folds]

    def metrics(self) -> dict[str, float]:
        """Return the mean metrics of the trial by name, with times if its cost is known."""
        metrics = {
            "rmse": self.mean("rmse"),
            "rmse_std": self.std("rmse"),
            "mae": self.mean("mae"),
            "mae_std": self.std("mae"),
            "impossible_share": self.mean("impossible"),
            "model_bytes": float(self.model_bytes),
        }
        return metrics | (asdict(self.cost) if self.cost else {})


def rank_trials(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """Return the trials that have scores, lowest mean error first; ties go to the lower number."""
    scored = [trial for trial in trials if trial.folds]
    return sorted(scored, key=lambda trial: (trial.mean(metric), trial.number))


def describe_error(error: Exception) -> str:
    """Return class and message of an error as one line, to be stored as the reason of a failure."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def trial_to_record(trial: Trial) -> dict[str, Any]:
    """Return the JSON record of a trial.

    Times are left out, so that the same search always writes the same record.
    """
    record: dict[str, Any] = {
        "number": trial.number,
        "algorithm": trial.algorithm,
        "parameters": dict(trial.parameters),
    }
    if trial.failure is not None:
        return {**record, "failure": trial.failure}
    if trial.pruned is not None:
        return {**record, "pruned": trial.pruned}
    metrics = {name: value for name, value in trial.metrics().items() if not name.endswith("_seconds")}
    folds = [{"rmse": fold.rmse, "mae": fold.mae, "impossible": fold.impossible} for fold in trial.folds]
    return {**record, **metrics, "model_bytes": trial.model_bytes, "folds": folds}


def trial_from_record(record: Mapping[str, Any], cost: TrialCost | None = None) -> Trial:
    """Return the trial of a JSON record.

    Args:
        record: a result of `trial_to_record`.
        cost: the times, if they are known; otherwise the times of the folds are NaN.
    """
    seconds = cost or TrialCost(float("nan"), float("nan"))
    folds = tuple(
        FoldScore(**scores, model_bytes=record["model_bytes"], **asdict(seconds))
        for scores in record.get("folds", ())
    )
    return Trial(
        record["number"],
        record["algorithm"],
        record["parameters"],
        folds,
        failure=record.get("failure"),
        cost=cost,
        pruned=record.get("pruned"),
    )
