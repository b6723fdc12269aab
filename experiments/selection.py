"""Which trial wins: the best metric among those within the budgets, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.config import Select
from experiments.trials import MEGABYTE, Trial, ranked
from marquee.errors import MarqueeError, TrackingError


@dataclass(frozen=True)
class Choice:
    """The winner, and the reason in one sentence. The reason holds no times, so that it repeats."""

    winner: Trial
    reason: str
    over_budget: tuple[str, ...]  # better ones that were refused, each with its why


def choose(trials: Sequence[Trial], select: Select) -> Choice:
    """Apply the rule of params.yaml.

    Raises:
        TrackingError: a trial's fit time is not remembered: an unknown cost is no pass.
        MarqueeError: no trial is within the budgets.
    """
    metric = select.metric
    order = ranked(trials, metric)
    refused: list[str] = []
    for trial in order:
        why = _over_budget(trial, select)
        if why is None:
            return Choice(trial, _reason(trial, order, metric, len(refused)), tuple(refused))
        refused.append(f"{trial.label}: {why}")
    raise MarqueeError(
        f"none of {len(order)} trials is within the budgets (the best, {refused[0]}): "
        "raise select.max_fit_seconds or select.max_model_megabytes"
    )


def _over_budget(trial: Trial, select: Select) -> str | None:
    if trial.cost is None:
        raise TrackingError(
            f"the fit time of trial {trial.number} ({trial.label}) is in no run of this tracking store; "
            "measure it again with `dvc repro --force --single-item search`"
        )
    if trial.cost.fit_seconds > select.max_fit_seconds:
        return f"a fit takes {trial.cost.fit_seconds:.1f} s, the budget is {select.max_fit_seconds:g} s"
    megabytes = trial.model_bytes / MEGABYTE
    if megabytes > select.max_model_megabytes:
        return f"a model takes {megabytes:.1f} MB, the budget is {select.max_model_megabytes:g} MB"
    return None


def _reason(winner: Trial, order: Sequence[Trial], metric: str, n_refused: int) -> str:
    """One sentence on what the winner beat."""
    name = metric.upper()
    sentence = f"{winner.label} has the lowest {name}, {winner.mean(metric):.4f}"
    rival = next(
        (t for t in order if t.algorithm != winner.algorithm and t.mean(metric) >= winner.mean(metric)), None
    )
    if rival is not None:
        sentence += f", {rival.mean(metric) - winner.mean(metric):.4f} below the best {rival.title}"
    sentence += f", of {len(order)} trials within the budgets of time and size"
    if n_refused:
        sentence += f" ({n_refused} better {'one was' if n_refused == 1 else 'ones were'} over budget)"
    return sentence
