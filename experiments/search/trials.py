"""What a trial is: one candidate with one set of parameters, scored on every fold."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any

from marquee.algorithms.registry import candidate

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class FoldScore:
    """One fit on one fold. Errors are in stars, times in seconds."""

    rmse: float
    mae: float
    impossible: float  # share of predictions that fell back to the global mean
    model_bytes: int
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class Cost:
    """What a trial cost, as a mean over its folds. Measured, so never part of a versioned file."""

    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class Trial:
    """A candidate with parameters, and its score on each fold; or the reason of its failure."""

    number: int
    algorithm: str
    parameters: Mapping[str, Any]
    folds: tuple[FoldScore, ...] = ()
    failure: str | None = None
    cost: Cost | None = field(default=None, compare=False)
    pruned: str | None = None  # given up before its end, and where
    curve: tuple[tuple[int, float], ...] = field(default=(), compare=False)  # (epoch, mean error)

    @property
    def label(self) -> str:
        """Name and parameters as a person would write them."""
        return f"{self.title} ({self.settings})" if self.parameters else self.title

    @property
    def settings(self) -> str:
        """Its parameters as a person would write them."""
        return ", ".join(f"{key}={value}" for key, value in self.parameters.items())

    @property
    def title(self) -> str:
        """The algorithm's usual name."""
        return candidate(self.algorithm).title

    @property
    def model_bytes(self) -> int:
        """Largest model over the folds."""
        return max(fold.model_bytes for fold in self.folds)

    def mean(self, name: str) -> float:
        """Mean of a fold measure."""
        return fmean(self.values(name))

    def spread(self, name: str) -> float:
        """Sample standard deviation of a fold measure over the folds."""
        return stdev(self.values(name))

    def values(self, name: str) -> list[float]:
        """A fold measure on each fold."""
        return [getattr(fold, name) for fold in self.folds]

    def metrics(self) -> dict[str, float]:
        """Every figure of the trial, times included, by the names that runs are compared by."""
        named: dict[str, float] = {"rmse": self.mean("rmse"), "rmse_std": self.spread("rmse")}
        named |= {"mae": self.mean("mae"), "mae_std": self.spread("mae")}
        named |= {"impossible_share": self.mean("impossible"), "model_bytes": float(self.model_bytes)}
        return named | (asdict(self.cost) if self.cost else {})


def cost_of(folds: Sequence[FoldScore]) -> Cost:
    """Mean times over folds."""
    return Cost(fmean(f.fit_seconds for f in folds), fmean(f.predict_seconds for f in folds))


def ranked(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """Finished trials, best first; equals in the order in which they were asked for."""
    finished = [trial for trial in trials if trial.folds]
    return sorted(finished, key=lambda trial: (trial.mean(metric), trial.number))


def reason_of(error: Exception) -> str:
    """An error as one line of a record."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def to_record(trial: Trial) -> dict[str, Any]:
    """A trial without its times: the same search always gives the same record."""
    record: dict[str, Any] = {
        "number": trial.number,
        "algorithm": trial.algorithm,
        "parameters": dict(trial.parameters),
    }
    if trial.failure is not None:
        return {**record, "failure": trial.failure}
    if trial.pruned is not None:
        return {**record, "pruned": trial.pruned}
    scores = [{"rmse": f.rmse, "mae": f.mae, "impossible": f.impossible} for f in trial.folds]
    summary = {key: value for key, value in trial.metrics().items() if not key.endswith("_seconds")}
    return {**record, **summary, "model_bytes": trial.model_bytes, "folds": scores}


def from_record(record: Mapping[str, Any], cost: Cost | None = None) -> Trial:
    """The trial of a record, with its cost where that is remembered."""
    seconds = cost or Cost(float("nan"), float("nan"))
    folds = tuple(
        FoldScore(**score, model_bytes=record["model_bytes"], **asdict(seconds))
        for score in record.get("folds", ())
    )
    return Trial(
        record["number"],
        record["algorithm"],
        record["parameters"],
        folds,
        record.get("failure"),
        cost,
        record.get("pruned"),
    )
