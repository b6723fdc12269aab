"""What a learning curve promises: the best that a training can still come to, if it does not get steeper.

    error now + slope over the last twelfth * epochs left

Curves of errors flatten, so the straight line lies below what will come: a training whose promise is worse
than what another has reached cannot win. Of the rules that were tried it is the only one that never gave up
the winner, in any order of trainings (docs/results.md).
"""

from collections.abc import Sequence

Curve = Sequence[tuple[int, float]]  # (epoch, error), ascending
LOOKS = 24  # of a training: so many slopes
SPAN = 2  # looks that a slope is taken over: an error is noisy from one epoch to the next


def looks(n_epochs: int) -> tuple[int, ...]:
    """Epochs after which the error is asked for."""
    step = max(1, n_epochs // LOOKS)
    return tuple(range(step, n_epochs + 1, step))


def promise(curve: Curve, n_epochs: int) -> float:
    """The error that the training can come to at its end; minus infinity where it is too early to tell."""
    if len(curve) <= SPAN:
        return -float("inf")
    (before, start), (now, error) = curve[-1 - SPAN], curve[-1]
    slope = (error - start) / (now - before)
    return error + min(slope, 0.0) * (n_epochs - now)
