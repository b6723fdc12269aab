"""Tree-structured Parzen estimator: proposes trainings of a candidate from the losses of earlier ones.

Optuna's sampler runs in the process of the search, round by round, on a study in memory. Its proposals depend
on complete rounds and on the seed, not on the number or the speed of the workers.
"""

from collections.abc import Sequence
from math import isfinite

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from experiments.config.offline import ParameterDomain, ParameterRange
from experiments.search.training_space import CandidateSpace
from marquee.algorithms.registry import Parameters

optuna.logging.set_verbosity(optuna.logging.ERROR)

Observation = tuple[Parameters, float]  # parameters of a training, and its loss; NaN if it failed


def propose_parameters(
    space: CandidateSpace, observations: Sequence[Observation], n: int, seed: int
) -> list[Parameters]:
    """Return the parameters of the next n trainings of a candidate.

    Args:
        space: its search space.
        observations: all earlier trainings, in order.
        n: number of trainings.
        seed: seed of the sampler, different for each call.
    """
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
    distributions = {name: _distribution(values) for name, values in space.trained.items()}
    for parameters, loss in observations:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(parameters),
                distributions=distributions,
                value=loss if isfinite(loss) else None,
                state=TrialState.COMPLETE if isfinite(loss) else TrialState.FAIL,
            )
        )
    return [dict(study.ask(distributions).params) for _ in range(n)]


def _distribution(values: ParameterDomain) -> BaseDistribution:
    if not isinstance(values, ParameterRange):
        return CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)
