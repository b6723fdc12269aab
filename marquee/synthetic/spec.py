"""What a synthetic dataset should be like: its size, its scale, its time, and the strength of each effect."""

from dataclasses import dataclass
from math import isfinite

from marquee.errors import ConfigError

DAY = 86_400  # seconds
YEAR = 365.25 * DAY
MAX_SHARE_RATED = 0.6  # of the items that were there from the start, by one user

# Sizes of MovieLens: 943 users and 1682 items for 100 K ratings, 70 K and 11 K for 10 M.
REFERENCE_RATINGS, REFERENCE_USERS, REFERENCE_ITEMS = 100_000, 943, 1682
USER_GROWTH, ITEM_GROWTH = 0.935, 0.40  # exponents of the growth with the number of ratings


@dataclass(frozen=True)
class SyntheticSpec:
    """Size, scale, time and effects of a dataset; the defaults imitate MovieLens-100K.

    Effects are standard deviations in fifths of the highest rating: stars, where that is 5.

    Raises:
        ConfigError: a number is out of its range, or so many ratings cannot be placed.
    """

    n_ratings: int = 100_000
    n_users: int | None = None  # None: in MovieLens' proportion to n_ratings
    n_items: int | None = None
    n_factors: int = 8
    step: float = 1.0  # 1.0: whole stars; 0.5: half stars
    low: float | None = None  # None: one step
    high: float = 5.0
    start: int = 1_546_300_800  # UTC seconds of the log's begin: 2019-01-01
    years: float = 4.0  # length of the log

    taste_std: float = 0.60  # of what the factors explain
    user_bias_std: float = 0.45
    item_bias_std: float = 0.58
    noise_std: float = 0.85  # of what nobody can predict
    noise_skew: float = 0.4  # disappointments are larger than delights
    drift: float = 0.35  # how far a taste moves over the whole log, in tastes
    selectivity: float = 0.5  # how strongly taste decides what a user rates at all
    fulfilment: float = 0.2  # correlation of what attracts to an item and what pleases about it
    popularity_depth: float = 4.6  # log of the most popular item's weight against the least's
    activity_spread: float = 1.2  # of the users' log number of ratings
    acclaim: float = 0.65  # correlation of an item's log popularity and its bias
    min_ratings: int = 20  # of every user, where the mean allows it

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.n_ratings > self.capacity:
            raise ConfigError(
                f"{self.n_ratings} ratings of {self.users} users and {self.items} items are too dense: "
                f"at most {self.capacity} can be placed; lower n_ratings, or raise n_users or n_items"
            )
        if self.n_ratings < self.users:
            raise ConfigError(
                f"{self.n_ratings} ratings are too few for {self.users} users: each needs at least one"
            )

    def _check_numbers(self) -> None:
        sizes = {"n_ratings": self.n_ratings, "n_users": self.n_users, "n_items": self.n_items}
        for name, size in {**sizes, "min_ratings": self.min_ratings}.items():
            if size is not None and size < 1:
                raise ConfigError(f"{name} is {size}: it must be at least 1")
        if not 1 <= self.n_factors <= 64:
            raise ConfigError(f"n_factors is {self.n_factors}: it must be from 1 to 64")
        if self.step not in (0.5, 1.0):
            raise ConfigError(f"step is {self.step}: ratings come in steps of 1.0 or 0.5")
        if not 0 <= self.lowest < self.high or (self.high - self.lowest) % self.step:
            raise ConfigError(
                f"the scale {self.lowest} to {self.high} must rise from 0 or more by steps of {self.step}"
            )
        if not 0.01 <= self.years <= 100 or self.start < 0:
            raise ConfigError(
                f"the log takes {self.years} years from {self.start}: use 0.01 to 100 years after 1970"
            )
        self._check_effects()

    def _check_effects(self) -> None:
        effects = (
            "taste_std", "user_bias_std", "item_bias_std", "noise_std", "noise_skew", "drift", "selectivity",
            "popularity_depth", "activity_spread",
        )  # fmt: skip
        for name in effects:
            effect = getattr(self, name)
            if not (isfinite(effect) and 0 <= effect <= 12):
                raise ConfigError(f"{name} is {effect}: it must be from 0 to 12")
        for name in ("acclaim", "fulfilment"):
            if not -1 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it is a correlation, from -1 to 1")

    @property
    def users(self) -> int:
        """Number of users: as asked, or in MovieLens' proportion."""
        grown = REFERENCE_USERS * (self.n_ratings / REFERENCE_RATINGS) ** USER_GROWTH
        return self.n_users if self.n_users is not None else max(1, round(grown))

    @property
    def items(self) -> int:
        """Number of items: as asked, or in MovieLens' proportion."""
        grown = REFERENCE_ITEMS * (self.n_ratings / REFERENCE_RATINGS) ** ITEM_GROWTH
        return self.n_items if self.n_items is not None else max(1, round(grown))

    @property
    def lowest(self) -> float:
        """Lowest rating: as asked, or one step."""
        return self.step if self.low is None else self.low

    @property
    def star(self) -> float:
        """A fifth of the highest rating: what the effects are measured in."""
        return self.high / 5

    @property
    def first_items(self) -> int:
        """Number of items that are there when the log begins; the others appear later."""
        return max(1, round(0.7 * self.items))

    @property
    def most_ratings(self) -> int:
        """Largest number of ratings that one user gives."""
        return max(1, int(MAX_SHARE_RATED * self.first_items))

    @property
    def capacity(self) -> int:
        """Largest number of ratings that can be placed."""
        return self.users * self.most_ratings

    @property
    def end(self) -> int:
        """UTC seconds of the log's end."""
        return self.start + round(self.years * YEAR)
