"""Which parameters of a candidate matter: the share of the error's variance that each explains."""

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from experiments.search.trials import Trial

optuna.logging.set_verbosity(optuna.logging.ERROR)  # a study in memory is no news

FEWEST = 4  # trials; of fewer nothing can be told


def importances(trials: Sequence[Trial], names: Sequence[str], metric: str, seed: int) -> dict[str, float]:
    """Functional ANOVA over random forests (Hutter et al. 2014), largest share first.

    Args:
        trials: finished trials of one candidate.
        names: parameters in which they differ.
        metric: rmse or mae.
        seed: of the forest.
    """
    if len(trials) < FEWEST or not names:
        return {}
    if len({trial.mean(metric) for trial in trials}) == 1:
        return {}  # nothing to explain
    if len(names) == 1:
        return {names[0]: 1.0}
    space = {name: _distribution([trial.parameters[name] for trial in trials]) for name in names}
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: _value(trial.parameters[name], space[name]) for name in names},
                distributions=space,
                value=trial.mean(metric),
            )
            for trial in trials
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that the evaluator is experimental, or a fold of its forest is small
        shares = optuna.importance.get_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=seed), params=list(names)
        )
    return {name: float(share) for name, share in shares.items()}


def _distribution(values: list[Any]) -> BaseDistribution:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return FloatDistribution(float(min(values)), float(max(values)))
    return CategoricalDistribution(sorted(set(values), key=repr))


def _value(value: Any, distribution: BaseDistribution) -> Any:
    return float(value) if isinstance(distribution, FloatDistribution) else value
