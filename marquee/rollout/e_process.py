"""Evidence over what an effect may be, and over when it may have begun."""

import math

import numpy as np

from marquee.arrays import Floats

EVERY = 100  # events, after which another beginning is thought possible
MOST = 256  # beginnings that are kept; the least likely one is given up for another


class Mixture:
    """An e-process that does not tire: a mixture of e-processes that begin one after the other.

    What was well for a thousand events weighs against an effect that begins only then. So beginning k of the
    effect has a share 6 / (pi k)^2 of the evidence, k = 1, 2, ..., and its e-process is 1 before it begins. A
    mixture of e-processes is one, and where one is given up, as if it fell to zero, it is only smaller: by
    Ville's inequality it ever exceeds 1 / alpha with probability at most alpha. Each beginning is mixed over
    effects, all alike. E-processes that begin one after the other are those of Shin, Ramdas and Rinaldo,
    "E-detectors: A Nonparametric Framework for Sequential Change Detection" (New England Journal of
    Statistics in Data Science 2, 2024); they add them up and bound how often an alarm is false, shares that
    add up to one bound whether any ever is.
    """

    def __init__(self, effects: int, every: float = EVERY) -> None:
        """Begin without evidence.

        Args:
            effects: how many sizes of the effect are thought of.
            every: events, after which another beginning is thought possible; infinite: there is only one.
        """
        self._every = every
        first = 0.0 if math.isinf(every) else _log_share(1)
        self._logs = np.zeros((1, effects))  # log e-values by beginning and effect
        self._weights = np.array([first])
        self._begun = 1
        self._rest = 1 - math.exp(first)  # of the evidence, for beginnings that are to come
        self._events = 0
        self.most = 0.0  # log e-value at its highest

    def add(self, ratios: Floats, events: int) -> None:
        """Log likelihood ratios of what was seen, by effect, and of how many events that was."""
        self._logs += ratios
        self.most = max(self.most, self.log_e)
        self._events += events
        if self._events >= self._every:
            self._events = 0
            self._begin()

    def _begin(self) -> None:
        self._begun += 1
        share = _log_share(self._begun)
        self._rest -= math.exp(share)
        logs, weights = (
            np.vstack([self._logs, np.zeros(self._logs.shape[1])]),
            np.append(self._weights, share),
        )
        if len(weights) > MOST:
            least = int((weights + _log_mean(logs)).argmin())
            logs, weights = np.delete(logs, least, 0), np.delete(weights, least)
        self._logs, self._weights = logs, weights

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence now."""
        parts = np.append(self._weights + _log_mean(self._logs), math.log(max(self._rest, 1e-300)))
        top = float(parts.max())
        return top + math.log(float(np.exp(parts - top).sum()))

    @property
    def p(self) -> float:
        """An always-valid p-value: the most evidence that there ever was."""
        return math.exp(-self.most)

    def rejects(self, alpha: float) -> bool:
        """Whether the evidence ever sufficed at the level `alpha`."""
        return self.most >= -math.log(alpha)


def _log_share(beginning: int) -> float:
    return math.log(6 / (math.pi * beginning) ** 2)


def _log_mean(logs: Floats) -> Floats:
    """Of each row, the logarithm of the mean of what its logarithms are of."""
    top = logs.max(axis=1)
    means: Floats = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return means
