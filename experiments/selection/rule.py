"""Which trial wins: the lowest loss within the budgets, or a cheaper one that is as good as that.

    loss = sum over the objective's metrics of   weight * distance from the best value, as a share of it

With one metric that is its own order. Where all metrics are errors, every finished trial takes part, for the
search has scored them all. Else those do that were measured: the best trial of each candidate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean
from typing import NamedTuple

from experiments.config.offline import Select
from experiments.evaluation.candidate_metrics import ERRORS, LOWER_IS_BETTER, MeasuredCost
from experiments.evaluation.confidence_intervals import standard_error
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.search_results import Findings
from marquee.errors import ConfigError, MarqueeError, TrackingError


@dataclass(frozen=True)
class Contender:
    """A trial that may win, with the loss of each fold, and the values that the loss is made of."""

    trial: Trial
    losses: tuple[float, ...]
    cost: MeasuredCost | None

    @property
    def loss(self) -> float:
        """Mean over the folds: 0 is the best that any contender has in every metric."""
        return fmean(self.losses)


class Refused(NamedTuple):
    """A trial over a budget, and which."""

    trial: Trial
    why: str

    def __str__(self) -> str:
        return f"{self.trial.label}: {self.why}"


@dataclass(frozen=True)
class Choice:
    """Who wins, who was nearest to it, and who would have won but for a rule. Figures, no words."""

    winner: Trial
    best: Trial  # the lowest loss within the budgets: the winner, or what the winner was preferred to
    rival: Trial | None  # the next best of another algorithm than the winner's
    n_contenders: int
    over_budget: tuple["Refused", ...]  # better ones


def choose(findings: Findings, select: Select) -> Choice:
    """Apply the rule of params.yaml.

    Raises:
        TrackingError: a cost that a budget or the rule needs is not remembered: an unknown cost is no pass.
        ConfigError: the objective needs measures, and no candidate could be measured.
        MarqueeError: no trial is within the budgets.
    """
    order = sorted(_contenders(findings, select), key=lambda one: (one.loss, one.trial.number))
    refused = {one.trial.number: why for one in order if (why := _over_budget(one, select))}
    able = [one for one in order if one.trial.number not in refused]
    if not able:
        first = order[0].trial
        raise MarqueeError(
            f"none of {len(order)} trials is within the budgets (the best, {first.label}: "
            f"{refused[first.number]}): raise the budgets of select in params.yaml"
        )
    best = able[0]
    winner = _cheapest(able, select) if select.rule == "one_standard_error" else best
    better = [Refused(one.trial, refused[one.trial.number]) for one in order[: order.index(best)]]
    rival = next((one.trial for one in able if one.trial.algorithm != winner.trial.algorithm), None)
    return Choice(winner.trial, best.trial, rival, len(order), tuple(better))


def _contenders(findings: Findings, select: Select) -> list[Contender]:
    able = [trial for trial in findings.trials if trial.folds]
    if needs_measures(select):
        able = [
            findings.trial(one)
            for one in findings.leaders
            if not any(isnan(one.mean(metric)) for metric in select.weights)
        ]
        if not able:
            raise ConfigError("select: no candidate could be measured; results/measures.json has the reasons")
    values = {trial.number: {m: findings.values(trial, m) for m in select.weights} for trial in able}
    best = {
        metric: (min if metric in LOWER_IS_BETTER else max)(fmean(of[metric]) for of in values.values())
        for metric in select.weights
    }
    costs = {number: measures.cost for number, measures in findings.measured.items()}
    return [
        Contender(trial, _losses(values[trial.number], best, select.weights), costs.get(trial.number))
        for trial in able
    ]


def needs_measures(select: Select) -> bool:
    """Whether the objective or a budget is of what only the best trial of each candidate was measured for."""
    budgets = (select.max_predict_microseconds, select.max_peak_megabytes, select.max_top_n_seconds)
    return bool(set(select.weights) - set(ERRORS)) or any(budget is not None for budget in budgets)


def _losses(
    values: Mapping[str, Sequence[float]], best: Mapping[str, float], weights: Mapping[str, float]
) -> tuple[float, ...]:
    """Of each fold: the weighted distances from the best means, each as a share of that."""
    folds = zip(*(_distances(values[m], best[m], m in LOWER_IS_BETTER) for m in weights), strict=True)
    total = sum(weights.values())
    return tuple(
        sum(weight * distance for weight, distance in zip(weights.values(), fold, strict=True)) / total
        for fold in folds
    )


def _distances(values: Sequence[float], best: float, lower: bool) -> list[float]:
    sign, unit = (1.0 if lower else -1.0), abs(best) or 1.0  # nobody has any: the distance itself
    return [sign * (value - best) / unit for value in values]


def _cheapest(able: Sequence[Contender], select: Select) -> Contender:
    """Of those within one standard error of the best, the cheapest; of equals the better one."""
    best = able[0]
    limit = best.loss + standard_error(best.losses)
    return min((one for one in able if one.loss <= limit), key=lambda one: (_price(one, select), one.loss))


def _price(one: Contender, select: Select) -> float:
    return _megabytes(one) if select.cheaper == "model_bytes" else _fit_seconds(one)


def _over_budget(one: Contender, select: Select) -> str | None:
    """The first budget that a contender breaks, in words."""
    for limit, ask, words, unit in (
        (select.max_fit_seconds, _fit_seconds, "a fit takes {:.1f}", "s"),
        (select.max_model_megabytes, _megabytes, "a model takes {:.1f}", "MB"),
        (select.max_predict_microseconds, _predict_microseconds, "a prediction takes {:.2f}", "µs"),
        (select.max_peak_megabytes, _peak_megabytes, "fitting takes {:.1f}", "MB of memory"),
        (select.max_top_n_seconds, _top_n_seconds, "all lists take {:.1f}", "s"),
    ):
        if limit is not None and (value := ask(one)) > limit:
            return f"{words.format(value)} {unit}, the budget is {limit:g} {unit.split()[0]}"
    return None


def _fit_seconds(one: Contender) -> float:
    if one.trial.cost is None:
        raise _forgotten(one, "fit time", "search")
    return one.trial.cost.fit_seconds


def _megabytes(one: Contender) -> float:
    return one.trial.model_bytes / MEGABYTE


def _predict_microseconds(one: Contender) -> float:
    return _measured(one).predict_microseconds


def _top_n_seconds(one: Contender) -> float:
    return _measured(one).top_n_seconds


def _peak_megabytes(one: Contender) -> float:
    peak = _measured(one).peak_bytes
    if peak is None:
        raise ConfigError(
            "select.max_peak_megabytes: this system does not tell what a process took; set it to null"
        )
    return peak / MEGABYTE


def _measured(one: Contender) -> MeasuredCost:
    if one.cost is None:
        raise _forgotten(one, "measured cost", "measure")
    return one.cost


def _forgotten(one: Contender, what: str, stage: str) -> TrackingError:
    return TrackingError(
        f"the {what} of trial {one.trial.number} ({one.trial.label}) is in no run of this tracking store; "
        f"measure it again with `dvc repro --force --single-item {stage}`"
    )
