"""Specification of a synthetic data set: size, rating scale, time span, and the strength of each effect."""

from dataclasses import dataclass
from math import isfinite

from marquee.errors import ConfigError

DAY = 86_400  # seconds
YEAR = 365.25 * DAY
MAX_FACTORS = 64  # more would make dot products inexact (see `sampling`)
MAX_EFFECT = 12.0
MAX_YEARS = 100.0
MAX_SHARE_RATED = 0.6  # of the initial items, by any user
INITIAL_ITEM_SHARE = 0.7  # of the items, which exist when the log starts

# Sizes of MovieLens: 943 users and 1682 items for 100 K ratings, 70 K and 11 K for 10 M.
REFERENCE_RATINGS, REFERENCE_USERS, REFERENCE_ITEMS = 100_000, 943, 1682
USER_GROWTH, ITEM_GROWTH = 0.935, 0.40  # exponents of the growth with the number of ratings

STRENGTHS = (
    "mean_rating", "taste_std", "user_bias_std", "item_bias_std", "noise_std", "noise_skew", "taste_drift",
    "selectivity", "log_popularity_range", "activity_std",
)  # fmt: skip
CORRELATIONS = ("attraction_correlation", "popularity_bias_correlation")


@dataclass(frozen=True)
class SyntheticSpec:
    """Size, scale, time span and effects of a data set; the defaults imitate MovieLens-100K.

    Mean and standard deviations of ratings are in fifths of the highest rating: in stars if that is 5.

    Raises:
        ConfigError: a value is out of its range, or the ratings do not fit the users and items.
    """

    n_ratings: int = 100_000
    n_users: int | None = None  # None: in MovieLens' proportion to n_ratings
    n_items: int | None = None
    n_factors: int = 8
    step: float = 1.0  # 1.0: whole stars; 0.5: half stars
    low: float | None = None  # lowest rating; None: one step
    high: float = 5.0  # highest rating
    start: int = 1_546_300_800  # start of the log in UTC seconds: 2019-01-01
    years: float = 4.0  # length of the log

    mean_rating: float = 2.98  # of an average item by an average user; users choose items they like better
    taste_std: float = 0.73  # of the part of a rating that the factors explain
    user_bias_std: float = 0.44
    item_bias_std: float = 0.40
    noise_std: float = 0.85  # of the part that cannot be predicted
    noise_skew: float = 0.4  # > 0: ratings fall below expectations by more than they exceed them
    taste_drift: float = 0.5  # change of the user factors over the whole log, relative to their std
    selectivity: float = 1.75  # how strongly a user's interests determine which items the user rates
    attraction_correlation: float = 0.63  # between what attracts a user and what the user likes
    log_popularity_range: float = 4.7  # log ratio of the weights of the most and the least popular item
    activity_std: float = 1.2  # of the log number of ratings per user
    popularity_bias_correlation: float = 0.5  # between an item's log popularity and its bias
    min_ratings: int = 20  # per user, if the mean allows it

    def __post_init__(self) -> None:
        self._check_sizes()
        self._check_scale_and_time()
        self._check_effects()
        self._check_density()

    def _check_sizes(self) -> None:
        for name in ("n_ratings", "n_users", "n_items", "min_ratings"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ConfigError(f"{name} must be at least 1 (got {size})")
        if not 1 <= self.n_factors <= MAX_FACTORS:
            raise ConfigError(f"n_factors must be between 1 and {MAX_FACTORS} (got {self.n_factors})")

    def _check_scale_and_time(self) -> None:
        if self.step not in (0.5, 1.0):
            raise ConfigError(f"step must be 1.0 or 0.5 (got {self.step})")
        if not 0 <= self.lowest_rating < self.high or (self.high - self.lowest_rating) % self.step:
            raise ConfigError(
                f"the rating scale must start at 0 or more and increase in steps of {self.step} "
                f"(got {self.lowest_rating} to {self.high})"
            )
        if not 0.01 <= self.years <= MAX_YEARS:
            raise ConfigError(f"years must be between 0.01 and {MAX_YEARS:g} (got {self.years})")
        if self.start < 0:
            raise ConfigError(f"start must be 0 (1970) or later, in UTC seconds (got {self.start})")

    def _check_effects(self) -> None:
        for name in STRENGTHS:
            value = getattr(self, name)
            if not (isfinite(value) and 0 <= value <= MAX_EFFECT):
                raise ConfigError(f"{name} must be between 0 and {MAX_EFFECT:g} (got {value})")
        for name in CORRELATIONS:
            value = getattr(self, name)
            if not -1 <= value <= 1:
                raise ConfigError(f"{name} must be between -1 and 1 (got {value})")

    def _check_density(self) -> None:
        if self.n_ratings > self.max_n_ratings:
            raise ConfigError(
                f"{self.n_ratings} ratings are too many for {self.user_count} users and "
                f"{self.item_count} items (at most {self.max_n_ratings}); "
                f"lower n_ratings, or raise n_users or n_items"
            )
        if self.n_ratings < self.user_count:
            raise ConfigError(
                f"{self.n_ratings} ratings are too few for {self.user_count} users, who need one each; "
                f"raise n_ratings or lower n_users"
            )

    @property
    def user_count(self) -> int:
        """`n_users` or, if it is None, a number in MovieLens' proportion to `n_ratings`."""
        proportional = REFERENCE_USERS * (self.n_ratings / REFERENCE_RATINGS) ** USER_GROWTH
        return self.n_users if self.n_users is not None else max(1, round(proportional))

    @property
    def item_count(self) -> int:
        """`n_items` or, if it is None, a number in MovieLens' proportion to `n_ratings`."""
        proportional = REFERENCE_ITEMS * (self.n_ratings / REFERENCE_RATINGS) ** ITEM_GROWTH
        return self.n_items if self.n_items is not None else max(1, round(proportional))

    @property
    def lowest_rating(self) -> float:
        """`low` or, if it is None, one step."""
        return self.step if self.low is None else self.low

    @property
    def like_threshold(self) -> float:
        """Lowest rating of an item that a user likes: three quarters of the way up the scale."""
        return self.lowest_rating + 0.75 * (self.high - self.lowest_rating)

    @property
    def effect_unit(self) -> float:
        """Unit of mean and standard deviations, on the rating scale: a fifth of the highest rating."""
        return self.high / 5

    @property
    def n_initial_items(self) -> int:
        """Number of items that exist when the log starts; the others appear later."""
        return max(1, round(INITIAL_ITEM_SHARE * self.item_count))

    @property
    def max_ratings_per_user(self) -> int:
        """Largest number of ratings that one user can give."""
        return max(1, int(MAX_SHARE_RATED * self.n_initial_items))

    @property
    def max_n_ratings(self) -> int:
        """Largest number of ratings that all users can give."""
        return self.user_count * self.max_ratings_per_user

    @property
    def end(self) -> int:
        """End of the log in UTC seconds."""
        return self.start + round(self.years * YEAR)
