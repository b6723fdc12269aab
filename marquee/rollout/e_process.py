"""Mixture e-process: evidence for an effect of unknown size that may start at any time."""

import math

import numpy as np

from marquee.array_types import Float64Array

EVENTS_PER_START = 100  # events between two possible start times of the effect
MAX_MIXTURE_COMPONENTS = 256  # start times that are kept
MIN_WEIGHT = 1e-300  # used in place of 0, which has no logarithm


class EProcessMixture:
    """Mixture of e-processes with staggered start times; keeps its power to detect late effects.

    Data from before the start of an effect count as evidence against it, and a single e-process must first
    make up for them. A mixture need not. With E_kj the e-process for start time k and effect size j (1 before
    its start), the evidence is

        E = Σ_k 6 / (π k)² · mean_j E_kj,   k = 1, 2, ...

    The weights of the start times add up to 1, so E is an e-process. By Ville's inequality, it ever reaches
    1 / alpha with probability at most alpha under the null hypothesis, and 1 / max E is an always-valid
    p-value. When there are more than `MAX_MIXTURE_COMPONENTS` start times, the one with the least evidence is
    dropped. That sets its e-process to 0 and makes E smaller, so the bound still holds.

    Source: Shin, Ramdas and Rinaldo, "E-detectors: A Nonparametric Framework for Sequential Change Detection"
    (New England Journal of Statistics in Data Science 2, 2024). They add up the e-processes and bound how
    often false alarms occur; weights that add up to 1 bound the probability of any false alarm.
    """

    def __init__(self, n_effects: int, events_per_start: float = EVENTS_PER_START) -> None:
        """Start without evidence.

        Args:
            n_effects: number of effect sizes in the mixture, equally weighted.
            events_per_start: events between two start times; infinite for a single start time.
        """
        self._events_per_start = events_per_start
        first = 0.0 if math.isinf(events_per_start) else _log_weight(1)
        self._log_e_values = np.zeros((1, n_effects))  # by start time and effect size
        self._log_weights = np.array([first])
        self._n_starts = 1
        self._future_weight = 1 - math.exp(first)  # of all start times to come
        self._events_since_start = 0
        self.max_log_e = 0.0  # largest log e-value so far

    def add(self, log_likelihood_ratios: Float64Array, n_events: int) -> None:
        """Multiply the e-processes by the likelihood ratios of new events.

        Args:
            log_likelihood_ratios: shape (n_effects,), of each effect size against the null hypothesis.
            n_events: number of events from which they are computed.
        """
        self._log_e_values += log_likelihood_ratios
        self.max_log_e = max(self.max_log_e, self.log_e)
        self._events_since_start += n_events
        if self._events_since_start >= self._events_per_start:
            self._events_since_start = 0
            self._add_start_time()

    def _add_start_time(self) -> None:
        self._n_starts += 1
        log_weight = _log_weight(self._n_starts)
        self._future_weight -= math.exp(log_weight)
        log_e_values = np.vstack([self._log_e_values, np.zeros(self._log_e_values.shape[1])])
        log_weights = np.append(self._log_weights, log_weight)
        if len(log_weights) > MAX_MIXTURE_COMPONENTS:
            least = int((log_weights + _log_mean_exp(log_e_values)).argmin())
            log_e_values, log_weights = np.delete(log_e_values, least, 0), np.delete(log_weights, least)
        self._log_e_values, self._log_weights = log_e_values, log_weights

    @property
    def log_e(self) -> float:
        """Natural logarithm of the current evidence E."""
        future = math.log(max(self._future_weight, MIN_WEIGHT))
        terms = np.append(self._log_weights + _log_mean_exp(self._log_e_values), future)
        largest = float(terms.max())
        return largest + math.log(float(np.exp(terms - largest).sum()))

    @property
    def p(self) -> float:
        """Always-valid p-value: the reciprocal of the largest evidence so far."""
        return math.exp(-self.max_log_e)

    def rejects(self, alpha: float) -> bool:
        """Return True if the evidence ever reached 1 / alpha."""
        return self.max_log_e >= -math.log(alpha)


def _log_weight(start: int) -> float:
    return math.log(6 / (math.pi * start) ** 2)


def _log_mean_exp(logs: Float64Array) -> Float64Array:
    """Return the logarithm of the mean of exp(logs) for each row."""
    largest = logs.max(axis=1)
    means: Float64Array = largest + np.log(np.exp(logs - largest[:, None]).mean(axis=1))
    return means
