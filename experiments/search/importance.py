"""Parameter importance: the share of the variance of a candidate's error that each parameter explains."""

import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from experiments.config.offline import ParameterValue
from experiments.search.trials import Trial

# Otherwise Optuna logs every study that is created in memory.
optuna.logging.set_verbosity(optuna.logging.ERROR)

MIN_TRIALS = 4


def parameter_importances(
    trials: Sequence[Trial], names: Sequence[str], metric: str, seed: int
) -> dict[str, float]:
    """Return the importance of each parameter by functional ANOVA (Hutter et al. 2014), largest first.

    The result is empty for fewer than `MIN_TRIALS` trials, for no parameters, and if all errors are equal.

    Args:
        trials: scored trials of one candidate.
        names: parameters in which the trials differ.
        metric: `rmse` or `mae`.
        seed: seed of the random forest that is fitted to the errors.
    """
    errors = [trial.mean(metric) for trial in trials]
    if len(trials) < MIN_TRIALS or not names or len(set(errors)) == 1:
        return {}
    if len(names) == 1:
        return {names[0]: 1.0}
    study = _create_study(trials, names, errors)
    with warnings.catch_warnings():
        # Optuna warns that the evaluator is experimental and that its forest is small.
        warnings.simplefilter("ignore")
        shares = optuna.importance.get_param_importances(
            study, evaluator=FanovaImportanceEvaluator(seed=seed), params=list(names)
        )
    return {name: float(share) for name, share in shares.items()}


def _create_study(trials: Sequence[Trial], names: Sequence[str], errors: Sequence[float]) -> optuna.Study:
    """Return an in-memory study of these trials, with the named parameters only."""
    space = {name: _distribution([trial.parameters[name] for trial in trials]) for name in names}
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: trial.parameters[name] for name in names},
                distributions=space,
                value=error,
            )
            for trial, error in zip(trials, errors, strict=True)
        ]
    )
    return study


def _distribution(values: list[ParameterValue]) -> BaseDistribution:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return FloatDistribution(float(min(numbers)), float(max(numbers)))
    return CategoricalDistribution(sorted(set(values), key=repr))
