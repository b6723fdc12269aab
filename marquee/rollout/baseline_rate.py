"""What is usual: how often something happens, and how much that varies from block to block of time."""

import math

ERRORS = 3.0  # standard errors that the rate is taken to be higher than it was
FEWEST = 5  # blocks, before anything is usual


class Usual:
    """Rate and dispersion of counts, as a quasi-Poisson model has them."""

    def __init__(self) -> None:
        self._blocks = 0
        self._users = self._happened = 0
        self._squares = self._cross = self._users2 = 0.0  # sums of k², k n, n²

    def update(self, happened: int, users: int) -> None:
        """A block of time in which it happened to so many of so many users."""
        users = max(users, happened)  # who was never answered is not counted elsewhere
        self._blocks += 1
        self._users += users
        self._happened += happened
        self._squares += happened * happened
        self._cross += happened * users
        self._users2 += users * users

    @property
    def known(self) -> bool:
        """Whether there is anything to go by."""
        return self._blocks >= FEWEST and self._users > 0

    @property
    def dispersion(self) -> float:
        """Variance of a block's count as a multiple of its mean (Pearson's statistic), 1 at least."""
        if self._happened == 0:
            return 1.0
        rate = self._happened / self._users
        residual = self._squares - 2 * rate * self._cross + rate * rate * self._users2
        # Pearson's statistic weighs each block by its own mean; here all have the mean of all.
        return max(1.0, residual / ((self._blocks - 1) * rate * self._users / self._blocks))

    @property
    def rate(self) -> float:
        """Of it happening to a user in a block: some standard errors above what was seen."""
        error = math.sqrt(self.dispersion * (self._happened + 1))
        return (self._happened + ERRORS * error) / self._users
