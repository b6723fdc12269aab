"""Trials: one candidate with one set of parameters, and its scores on every validation part and every fold.

Evaluation, selection and reports read trials, so this module must not import Optuna.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from statistics import fmean, stdev
from typing import Any

from experiments.search.metric import MetricSetting, SearchMetric
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.array_types import Float32Array

MEGABYTE = 1_000_000
MEMBERS = "members"  # parameter of the blend
WEIGHTING_PARAMETERS = ("weighting", "threshold", "neutral")  # of a ranker
ERROR_FIELDS = ("rmse", "mae")


@dataclass(frozen=True)
class FoldScore:
    """Errors of one fit on one fold. Errors are in stars, times in seconds."""

    rmse: float
    mae: float
    impossible: float  # share of predictions that fell back to the global mean
    model_bytes: int
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True)
class PartScore:
    """Recommendation lists of one fit on one validation part. Times are in seconds.

    Attributes:
        metrics: metric by name; ranking metrics are means over the evaluated users.
        n_users: number of evaluated users; fewer than others have if the trial was dropped after a sample.
        user_values: value of each evaluated user of the part, in the order of `Part.users`, by metric; NaN
            for users outside the sample. It is not in the record of a trial.
    """

    metrics: Mapping[str, float]
    n_users: int
    user_values: Mapping[str, Float32Array] = field(default_factory=dict, compare=False)
    model_bytes: int = 0
    fit_seconds: float = nan
    list_seconds: float = nan


@dataclass(frozen=True)
class TrialCost:
    """Mean times of a trial over its fits, in seconds.

    Times differ from run to run, so they are never part of a versioned file.
    """

    fit_seconds: float
    predict_seconds: float | None = None  # None: no ratings were predicted
    list_seconds: float | None = None  # None: no lists were computed

    @classmethod
    def mean_of_fits(cls, parts: Sequence[PartScore], folds: Sequence[FoldScore]) -> "TrialCost | None":
        """Return the mean times of fits on validation parts, or on folds if there are no others.

        None without any fit.
        """
        if not parts and not folds:
            return None
        return cls(
            fmean(fit.fit_seconds for fit in (parts or folds)),
            fmean(fold.predict_seconds for fold in folds) if folds else None,
            fmean(part.list_seconds for part in parts) if parts else None,
        )


@dataclass(frozen=True)
class Trial:
    """One point of a candidate's search space with its scores, or the reason for having none.

    A trial whose `pruned` is not None was stopped early: it has lists of some validation parts, or of none.
    """

    number: int
    algorithm: str
    parameters: Mapping[str, Any]
    folds: tuple[FoldScore, ...] = ()  # empty if the candidate does not predict ratings
    failure: str | None = None
    cost: TrialCost | None = field(default=None, compare=False)
    pruned: str | None = None  # where the evaluation was stopped, and why
    curve: tuple[tuple[int, float], ...] = field(default=(), compare=False)  # (epoch, search metric)
    parts: tuple[PartScore, ...] = ()
    fold_failure: str | None = None  # why it has no errors, although it predicts ratings and has lists

    @property
    def label(self) -> str:
        """Name of the trial for display: `SVD (n_factors=50)`."""
        return format_label(self.algorithm, self.parameters)

    @property
    def parameters_text(self) -> str:
        """Parameters for display: `n_factors=50, reg_all=0.02`."""
        return format_parameters(self.parameters)

    @property
    def algorithm_title(self) -> str:
        """Display name of the algorithm."""
        return find_algorithm(self.algorithm).title

    @property
    def has_lists(self) -> bool:
        """True if lists were computed for every validation part."""
        return bool(self.parts) and self.pruned is None and self.failure is None

    @property
    def model_bytes(self) -> int:
        """Size of the largest model over all fits."""
        sizes = [fold.model_bytes for fold in self.folds] + [part.model_bytes for part in self.parts]
        return max(sizes)

    def mean(self, name: str) -> float:
        """Return the mean of a score over the folds or the validation parts."""
        return fmean(self.fold_values(name))

    def std(self, name: str) -> float:
        """Return the sample standard deviation of a score over the folds or the validation parts."""
        values = self.fold_values(name)
        return stdev(values) if len(values) > 1 else 0.0

    def fold_values(self, name: str) -> list[float]:
        """Return an error for each fold, or a metric of lists for each validation part.

        Raises:
            KeyError: the trial has no such score.
        """
        if name in FoldScore.__dataclass_fields__ and self.folds:
            return [getattr(fold, name) for fold in self.folds]
        if not self.parts:
            raise KeyError(name)
        return [part.metrics[name] for part in self.parts]

    def mean_values(self) -> dict[str, float]:
        """Return the means of all errors and metrics of lists by name."""
        names = (*self.parts[0].metrics,) if self.parts else ()
        means = {name: self.mean(name) for name in names if all(name in part.metrics for part in self.parts)}
        return means | ({name: self.mean(name) for name in ERROR_FIELDS} if self.folds else {})

    def metrics(self) -> dict[str, float]:
        """Return all metrics of the trial by name, with times if its cost is known."""
        metrics = self.mean_values()
        if self.folds:
            metrics |= {f"{name}_std": self.std(name) for name in ERROR_FIELDS}
            metrics["impossible_share"] = self.mean("impossible")
        if self.folds or self.parts:
            metrics["model_bytes"] = float(self.model_bytes)
        times = asdict(self.cost) if self.cost else {}
        return metrics | {name: seconds for name, seconds in times.items() if seconds is not None}


def format_parameters(parameters: Parameters) -> str:
    """Return parameters for display: `n_factors=50, reg_all=0.02`; of a blend, its members and weights."""
    if MEMBERS in parameters:
        return " + ".join(_format_member(member) for member in parameters[MEMBERS])
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _format_member(member: Mapping[str, Any]) -> str:
    """Return a member of a blend for display: `2 EASE (reg=100)`."""
    return f"{member['weight']:g} {format_sorted_label(member['algorithm'], member['parameters'])}"


def format_label(algorithm: str, parameters: Parameters) -> str:
    """Return a name for display: `SVD (n_factors=50)`, and of a blend `Blend (2 EASE + iALS)`."""
    title = find_algorithm(algorithm).title
    if MEMBERS in parameters:
        return f"{title} ({' + '.join(_name_members(parameters[MEMBERS]))})"
    return f"{title} ({format_parameters(parameters)})" if parameters else title


def _name_members(members: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield weight and title of each member: `2 EASE`; a weight of 1 is left out.

    Members of one algorithm have the weighting parameters in which they differ: `iALS (neutral=2.0)`.
    """
    for member in members:
        alike = [other["parameters"] for other in members if other["algorithm"] == member["algorithm"]]
        differing = {
            name: member["parameters"].get(name)
            for name in WEIGHTING_PARAMETERS
            if len({str(parameters.get(name)) for parameters in alike}) > 1
        }
        weight = "" if member["weight"] == 1 else f"{member['weight']:g} "
        yield weight + format_label(member["algorithm"], differing)


def format_sorted_label(algorithm: str, parameters: Parameters) -> str:
    """Return a name for display with sorted parameters, for texts that must not depend on their order."""
    return format_label(algorithm, dict(sorted(parameters.items())))


def point_key(algorithm: str, parameters: Parameters) -> str:
    """Return a text that identifies a point of the search space, whatever the order of a grid.

    >>> point_key("svd", {"n_factors": 50, "biased": True})
    'svd {"biased": true, "n_factors": 50}'
    """
    return f"{algorithm} {json.dumps(dict(parameters), sort_keys=True, default=str)}"


def rank_trials(trials: Sequence[Trial], metric: MetricSetting | SearchMetric) -> list[Trial]:
    """Return the trials that have a value of the metric, best first.

    Trials that were stopped early come after the others, and those with fewer evaluated users last. Equal
    trials are in the order of their parameters, so that the order of a grid does not matter.
    """
    parsed = SearchMetric.parse(metric)
    losses = {trial.number: parsed.loss(trial.mean_values()) for trial in trials if trial.failure is None}
    scored = [trial for trial in trials if isfinite(losses.get(trial.number, nan))]

    def sort_key(trial: Trial) -> tuple[int, float, str]:
        n_users = sum(part.n_users for part in trial.parts) if parsed.uses_lists else 0
        return -n_users, losses[trial.number], point_key(trial.algorithm, trial.parameters)

    return sorted(scored, key=sort_key)


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
        record["pruned"] = trial.pruned
    if trial.fold_failure is not None:
        record["fold_failure"] = trial.fold_failure
    if trial.folds or trial.parts:
        metrics = {name: value for name, value in trial.metrics().items() if not name.endswith("_seconds")}
        record |= {**metrics, "model_bytes": trial.model_bytes}
    if trial.folds:
        record["folds"] = [
            {"rmse": fold.rmse, "mae": fold.mae, "impossible": fold.impossible} for fold in trial.folds
        ]
    if trial.parts:
        record["parts"] = [{**part.metrics, "n_users": part.n_users} for part in trial.parts]
    return record


def trial_from_record(record: Mapping[str, Any], cost: TrialCost | None = None) -> Trial:
    """Return the trial of a JSON record, without the values of single users.

    Args:
        record: a result of `trial_to_record`.
        cost: the times, if they are known; otherwise the times of the fits are NaN.
    """
    fit_seconds = cost.fit_seconds if cost else nan
    predict_seconds, list_seconds = (
        nan if seconds is None else seconds
        for seconds in ((cost.predict_seconds, cost.list_seconds) if cost else (None, None))
    )
    size = record.get("model_bytes", 0)
    return Trial(
        record["number"],
        record["algorithm"],
        record["parameters"],
        tuple(
            FoldScore(**scores, model_bytes=size, fit_seconds=fit_seconds, predict_seconds=predict_seconds)
            for scores in record.get("folds", ())
        ),
        failure=record.get("failure"),
        cost=cost,
        pruned=record.get("pruned"),
        fold_failure=record.get("fold_failure"),
        parts=tuple(
            _part_from_record(part, size, fit_seconds, list_seconds) for part in record.get("parts", ())
        ),
    )


def _part_from_record(
    record: Mapping[str, Any], size: int, fit_seconds: float, list_seconds: float
) -> PartScore:
    metrics = {name: value for name, value in record.items() if name != "n_users"}
    return PartScore(metrics, record["n_users"], {}, size, fit_seconds, list_seconds)
