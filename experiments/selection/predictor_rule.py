"""Selection of the predictor: the lowest loss within the budgets, or a cheaper trial that is as good.

    loss = weighted mean, over the errors of the objective, of the distance from the lowest as a share of it

With one error, the loss orders trials by that error. Every trial with errors is considered, unless a budget
limits a cost that only measured trials have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from experiments.config.offline import SelectParams
from experiments.evaluation.candidate_record import MeasuredCost
from experiments.evaluation.fold_intervals import standard_error
from experiments.search.trials import MEGABYTE, Trial, point_key
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import find_algorithm
from marquee.errors import ConfigError, MarqueeError, TrackingError


@dataclass(frozen=True)
class PredictorContender:
    """A trial that can win, with its loss on each fold and its cost."""

    trial: Trial
    losses: tuple[float, ...]
    cost: MeasuredCost | None

    @property
    def loss(self) -> float:
        """Mean loss over the folds; 0 for a contender that is best in all metrics."""
        return fmean(self.losses)


class OverBudget(NamedTuple):
    """A trial that exceeds a budget, and a description of the budget."""

    trial: Trial
    reason: str

    def __str__(self) -> str:
        return f"{self.trial.label}: {self.reason}"


@dataclass(frozen=True)
class PredictorChoice:
    """The winner, and the trials that it is compared with."""

    winner: Trial
    best: Trial  # lowest loss within the budgets; not the winner if a cheaper trial was preferred
    runner_up: Trial | None  # best trial of another algorithm
    n_trials: int
    over_budget: tuple[OverBudget, ...]  # trials better than `best`


def choose_predictor(results: SearchResults, select: SelectParams) -> PredictorChoice:
    """Apply the selection rule of params.yaml.

    Raises:
        TrackingError: a cost that a budget or the rule needs is unknown; an unknown cost is never within it.
        ConfigError: no trial has errors, or a budget needs measured trials and there are none.
        MarqueeError: no trial is within all budgets.
    """
    ranked = sorted(
        _contenders(results, select), key=lambda contender: (contender.loss, _key(contender.trial))
    )
    violations = {
        contender.trial.number: reason
        for contender in ranked
        if (reason := _exceeded_budget(contender, select))
    }
    eligible = [contender for contender in ranked if contender.trial.number not in violations]
    if not eligible:
        first = ranked[0].trial
        raise MarqueeError(
            f"none of {len(ranked)} trials that predict ratings is within the budgets (the best, "
            f"{first.label}: {violations[first.number]}); raise the budgets of select in params.yaml"
        )
    best = eligible[0]
    winner = _cheapest_equivalent(eligible, select) if select.predictor_rule == "one_standard_error" else best
    better = [
        OverBudget(contender.trial, violations[contender.trial.number])
        for contender in ranked[: ranked.index(best)]
    ]
    others = (
        contender.trial for contender in eligible if contender.trial.algorithm != winner.trial.algorithm
    )
    return PredictorChoice(winner.trial, best.trial, next(others, None), len(ranked), tuple(better))


def _key(trial: Trial) -> str:
    """Return a text that orders equal trials, whatever the order of a grid."""
    return point_key(trial.algorithm, trial.parameters)


def needs_measured_costs(select: SelectParams) -> bool:
    """Return True if a budget limits a cost that only measured trials have."""
    budgets = (select.max_predict_microseconds, select.max_peak_megabytes, select.max_top_n_seconds)
    return any(budget is not None for budget in budgets)


def _contenders(results: SearchResults, select: SelectParams) -> list[PredictorContender]:
    trials, weights = _eligible_trials(results, select), select.predictor_weights
    values = {trial.number: {name: trial.fold_values(name) for name in weights} for trial in trials}
    best = {name: min(fmean(errors[name]) for errors in values.values()) for name in weights}
    costs = {number: candidate.cost for number, candidate in results.candidates.items()}
    return [
        PredictorContender(trial, _losses(values[trial.number], best, weights), costs.get(trial.number))
        for trial in trials
    ]


def _eligible_trials(results: SearchResults, select: SelectParams) -> list[Trial]:
    """Return the trials with errors; only measured ones if a budget needs their costs."""
    trials = [trial for trial in results.trials if trial.folds]
    if not trials:
        raise _explain_missing_errors(results.trials)
    if needs_measured_costs(select):
        trials = [results.trial_of(candidate) for candidate in results.ranked_predictors]
        if not trials:
            raise ConfigError(
                "select: no candidate could be measured; results/candidate_metrics.json has the reasons"
            )
    return trials


def _explain_missing_errors(trials: Sequence[Trial]) -> MarqueeError:
    """Return the error for a search in which no trial has an error of predicted ratings."""
    predicting = [t for t in trials if not find_algorithm(t.algorithm).algorithm_class.is_ranker]
    if first := next((trial for trial in predicting if trial.failure), None):
        return MarqueeError(
            f"none of {len(predicting)} trials that predict ratings has an error on all folds, so there "
            f"is no predictor; {first.label} failed with {first.failure}; correct search.candidates"
        )
    if predicting:
        return MarqueeError(
            f"none of {len(predicting)} trials that predict ratings was finished, so there is no predictor; "
            "increase search.max_minutes in params.yaml, or set search.pruner to none"
        )
    return ConfigError(
        "no candidate predicts ratings, so there is no predictor; add svd or another one to "
        "search.candidates in params.yaml"
    )


def _losses(
    values: Mapping[str, Sequence[float]], best: Mapping[str, float], weights: Mapping[str, float]
) -> tuple[float, ...]:
    """Return the loss on each fold: the weighted mean of relative distances from the best means."""
    distances = [_distances(values[name], best[name]) for name in weights]
    total = sum(weights.values())
    return tuple(
        sum(weight * distance for weight, distance in zip(weights.values(), fold, strict=True)) / total
        for fold in zip(*distances, strict=True)
    )


def _distances(values: Sequence[float], best: float) -> list[float]:
    unit = best or 1.0  # no distance is a share of 0: use the distance itself
    return [(value - best) / unit for value in values]


def _cheapest_equivalent(
    contenders: Sequence[PredictorContender], select: SelectParams
) -> PredictorContender:
    """Return the cheapest contender within one standard error of the first; at equal cost, the better one."""
    best = contenders[0]
    limit = best.loss + standard_error(best.losses)
    cost = _megabytes if select.cost_metric == "model_bytes" else _fit_seconds
    return min(
        (contender for contender in contenders if contender.loss <= limit),
        key=lambda contender: (cost(contender), contender.loss),
    )


def _exceeded_budget(contender: PredictorContender, select: SelectParams) -> str | None:
    """Return a description of the first budget that a contender exceeds, or None."""
    for limit, measure, subject, unit in (
        (select.max_fit_seconds, _fit_seconds, "a fit takes", "s"),
        (select.max_model_megabytes, _megabytes, "a model takes", "MB"),
        (select.max_predict_microseconds, _predict_microseconds, "a prediction takes", "µs"),
        (select.max_peak_megabytes, _peak_megabytes, "fitting takes", "MB of memory"),
        (select.max_top_n_seconds, _top_n_seconds, "all lists take", "s"),
    ):
        if limit is not None and (value := measure(contender)) > limit:
            amount = f"{value:.1f}" if value >= 1 else f"{value:.2g}"
            return f"{subject} {amount} {unit}, the budget is {limit:g} {unit.split()[0]}"
    return None


def _fit_seconds(contender: PredictorContender) -> float:
    if contender.trial.cost is None:
        raise _unknown_cost(contender, "fit time", "search")
    return contender.trial.cost.fit_seconds


def _megabytes(contender: PredictorContender) -> float:
    return contender.trial.model_bytes / MEGABYTE


def _predict_microseconds(contender: PredictorContender) -> float:
    microseconds = _measured_cost(contender).predict_microseconds
    assert microseconds is not None, "every contender predicts ratings"
    return microseconds


def _top_n_seconds(contender: PredictorContender) -> float:
    return _measured_cost(contender).top_n_seconds


def _peak_megabytes(contender: PredictorContender) -> float:
    peak = _measured_cost(contender).peak_bytes
    if peak is None:
        raise ConfigError(
            "select.max_peak_megabytes: this system does not report the memory of a process; set it to null"
        )
    return peak / MEGABYTE


def _measured_cost(contender: PredictorContender) -> MeasuredCost:
    if contender.cost is None:
        raise _unknown_cost(contender, "measured cost", "measure")
    return contender.cost


def _unknown_cost(contender: PredictorContender, cost: str, stage: str) -> TrackingError:
    return TrackingError(
        f"the {cost} of trial {contender.trial.number} ({contender.trial.label}) is not in this tracking "
        f"store; measure it again with `dvc repro --force --single-item {stage}`"
    )
