"""Baseline rate: how often an event normally occurs per minute, and how much that varies."""

import math

MARGIN_STANDARD_ERRORS = 3.0  # standard errors added to the observed rate
MIN_MINUTES = 5  # minutes of observation before the baseline is known


class BaselineRate:
    """Rate and dispersion of the number of users with an event per minute; defined once `is_known`.

    A quasi-Poisson model: of n users in a minute, k have an event, with mean rate · n and variance
    dispersion · rate · n. The dispersion is Pearson's statistic, pooled over all minutes:

        dispersion = Σ (k - rate n)² / ((minutes - 1) · rate · mean n),   at least 1

    Pearson's statistic divides each squared residual by its own mean; here all are divided by the mean over
    all minutes. Source: McCullagh and Nelder, *Generalized Linear Models* (1989), chapter 9.
    """

    def __init__(self) -> None:
        self._minutes = 0
        self._users = self._affected = 0
        self._sum_k2 = self._sum_kn = self._sum_n2 = 0.0  # of k², k n, n²

    def add_minute(self, affected: int, users: int) -> None:
        """Add a minute in which `affected` of `users` users had an event."""
        users = max(users, affected)  # users without any response are not among `users`
        self._minutes += 1
        self._users += users
        self._affected += affected
        self._sum_k2 += affected * affected
        self._sum_kn += affected * users
        self._sum_n2 += users * users

    @property
    def is_known(self) -> bool:
        """True if there are enough observations for a comparison."""
        return self._minutes >= MIN_MINUTES and self._users > 0

    @property
    def dispersion(self) -> float:
        """Variance of a minute's count divided by its mean, at least 1."""
        if self._affected == 0:
            return 1.0
        rate = self._affected / self._users
        squared_residuals = self._sum_k2 - 2 * rate * self._sum_kn + rate * rate * self._sum_n2
        return max(1.0, squared_residuals / ((self._minutes - 1) * rate * self._users / self._minutes))

    @property
    def rate_upper_bound(self) -> float:
        """Upper bound of the rate per user and minute: the observed rate plus `MARGIN_STANDARD_ERRORS`.

        The standard error is computed as if one more user had had an event, so it is above 0 without events.
        """
        standard_error = math.sqrt(self.dispersion * (self._affected + 1))
        return (self._affected + MARGIN_STANDARD_ERRORS * standard_error) / self._users
