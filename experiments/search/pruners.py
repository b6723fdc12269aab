"""When a training is given up: Optuna's pruners, and one that asks what its own learning curve promises."""

import optuna
from optuna.trial import FrozenTrial, TrialState

from experiments.search.outlook import promise
from experiments.search.space import Axes

STARTUP = 4  # finished trainings that the median is of, at least


class CurvePruner(optuna.pruners.BasePruner):
    """Gives up what cannot win: a training that promises less than the best finished one has reached."""

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether this training cannot win any more."""
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        reached = [float(one.value) for one in finished if one.value is not None]
        curve = sorted(trial.intermediate_values.items())
        return bool(reached) and promise(curve, self._n_epochs) > min(reached)


def pruner_of(name: str, axes: Axes) -> optuna.pruners.BasePruner:
    """The pruner of a candidate's study: "none", "median", "hyperband" or "curve"."""
    longest = max(axes.n_epochs, 1)
    if name == "curve":
        return CurvePruner(longest)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(max(1, longest // 9), longest, 3)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    return optuna.pruners.NopPruner()
