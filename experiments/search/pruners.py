"""Pruners: stop trainings that cannot win.

`curve` extrapolates the learning curve of a training with its slope over the last two reporting intervals:

    loss + min(slope, 0) * remaining epochs


The loss is that of the search metric; lower is better. Learning curves flatten, so the straight line is
optimistic. (A rising curve counts as flat.) A training is stopped if even this loss is higher than the best
loss of a finished training. In the measurements in docs/results.md, no order of the trainings made it stop
the winner.
"""

from collections.abc import Sequence
from math import inf

import optuna
from optuna.trial import FrozenTrial, TrialState

MIN_REPORTS = 24  # of a training with at least this many epochs
SLOPE_SPAN = 2  # reporting intervals over which a slope is taken; over a single one, losses are noisy
MIN_MEDIAN_TRAININGS = 4  # finished trainings before the median pruner starts
HYPERBAND_REDUCTION = 3  # each time, one third of the trainings continue, with three times as many epochs

LearningCurve = Sequence[tuple[int, float]]  # (epoch, loss) in order of epochs


def reporting_epochs(n_epochs: int) -> tuple[int, ...]:
    """Return the epochs after which a training of `n_epochs` reports its loss."""
    interval = max(1, n_epochs // MIN_REPORTS)
    return tuple(range(interval, n_epochs + 1, interval))


def lowest_reachable_loss(curve: LearningCurve, n_epochs: int) -> float:
    """Return the final loss if the curve keeps falling as fast as now, or stays flat if it is rising.

    If the curve is too short to tell, the result is -inf.
    """
    if len(curve) <= SLOPE_SPAN:
        return -inf
    (earlier_epoch, earlier_loss), (epoch, loss) = curve[-1 - SLOPE_SPAN], curve[-1]
    slope = (loss - earlier_loss) / (epoch - earlier_epoch)
    return loss + min(slope, 0.0) * (n_epochs - epoch)


class CurvePruner(optuna.pruners.BasePruner):
    """Stops a training whose extrapolated learning curve does not reach the best finished loss.

    Args:
        n_epochs: number of epochs of a complete training.
    """

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return True if the training should stop."""
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        losses = [float(other.value) for other in finished if other.value is not None]
        curve = sorted(trial.intermediate_values.items())
        return bool(losses) and lowest_reachable_loss(curve, self._n_epochs) > min(losses)


def create_pruner(name: str, n_epochs: int) -> optuna.pruners.BasePruner:
    """Return the pruner of a candidate's study.

    Args:
        name: `none`, `median`, `hyperband` or `curve`.
        n_epochs: number of epochs of each training of the candidate; 0 if it does not train by epochs.
    """
    n_epochs = max(n_epochs, 1)
    if name == "curve":
        return CurvePruner(n_epochs)
    if name == "hyperband":
        min_epochs = max(1, n_epochs // HYPERBAND_REDUCTION**2)
        return optuna.pruners.HyperbandPruner(min_epochs, n_epochs, reduction_factor=HYPERBAND_REDUCTION)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=MIN_MEDIAN_TRAININGS)
    return optuna.pruners.NopPruner()
