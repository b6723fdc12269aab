"""Stored scorer of factor models of ratings: the posterior of a user's factors, given new ratings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Float64Array, Int32Array
from marquee.model.factor_scoring import FACTOR_ARRAYS, FACTOR_CONSTANTS, FactorSpace, UserFactors
from marquee.model.json_checks import is_number
from marquee.model.scorers.history import History, TrainingHistories
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind


@register_kind
@dataclass(frozen=True)
class RatingFactors:
    """Parameters of a factor model of ratings."""

    space: FactorSpace
    kind: ClassVar[str] = "rating_factors"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if these are offset and noise."""
        return constants.keys() == set(FACTOR_CONSTANTS) and all(map(is_number, constants.values()))

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the names of the arrays of a factor space."""
        return FACTOR_ARRAYS

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and constants."""
        return cls(FactorSpace.restore(arrays, constants))

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the arrays of the factor space."""
        return self.space.arrays()

    def constants(self) -> Mapping[str, Any]:
        """Return offset and noise."""
        return self.space.constants()

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:
        """Return the specification of the arrays of the factor space."""
        return factor_array_specs(self.space, n_users, n_items)

    def create_scorer(self, training: TrainingHistories) -> "RatingScorer":
        """Create the scorer."""
        return RatingScorer(self.space, training)


class RatingScorer:
    """Scorer of a model of ratings: ratings are folded in, interactions without a rating are ignored."""

    def __init__(self, space: FactorSpace, training: TrainingHistories) -> None:
        self._space, self._training = space, training

    def can_score(self, history: History) -> bool:
        """Return True if the history has a rating."""
        return any(rating is not None for rating in history.values())

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for a known user with these ratings since training."""
        return self._space.score_items(self._find_user_factors(user, recent))

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a user with these ratings."""
        return self._space.score_items(self._space.fold_in(*_select_ratings(history)))

    def score_some(self, user: int | None, recent: History, items: Iterable[int]) -> list[float]:
        """Return the scores of some items for a known user, or one with these ratings (`user` is None)."""
        factors = self._find_user_factors(user, recent)
        return [self._space.score_item(factors, item) for item in items]

    def _find_user_factors(self, user: int | None, recent: History) -> UserFactors:
        """Return bias and factors of a user, given their ratings since training; None: an unknown user."""
        items, ratings = _select_ratings(recent)
        if user is None:
            return self._space.fold_in(items, ratings)
        trained = self._training.items_of(user)
        return self._space.update_user(user, trained[~np.isin(trained, items)], items, ratings)


def factor_array_specs(space: FactorSpace, n_users: int, n_items: int) -> dict[str, ArraySpec]:
    """Return the specification of each array of a factor space."""
    k = np.atleast_1d(space.item_factors).shape[-1]
    return {
        "item_factors": ArraySpec(np.float32, (n_items, k)),
        "item_biases": ArraySpec(np.float32, (n_items,)),
        "user_factors": ArraySpec(np.float32, (n_users, k)),
        "user_biases": ArraySpec(np.float32, (n_users,)),
        "prior_mean": ArraySpec(np.float64, (1 + k,)),
        "prior_covariance": ArraySpec(np.float64, (1 + k, 1 + k)),
    }


def _select_ratings(history: History) -> tuple[Int32Array, Float64Array]:
    """Return the rated items of a history and their ratings."""
    ratings = {item: rating for item, rating in history.items() if rating is not None}
    return np.array(list(ratings), dtype=np.int32), np.array(list(ratings.values()), dtype=np.float64)
