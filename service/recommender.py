"""Request -> recommendations: the fallback ladder over a fitted model.

    personal   the stored list of a known user
    popular    what most people rated: for an unknown user, or after the end of the stored list

Every answer says which rung it stands on: the highest that gave an item. No rung recommends what
the user rated in training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from marquee.model import FittedModel

Rung = Literal["personal", "popular"]


@dataclass(frozen=True)
class Recommended:
    """One item of an answer. The score is a predicted rating before clipping to the scale, or None."""

    item: str
    title: str
    score: float | None


@dataclass(frozen=True)
class Recommendations:
    """An answer, best first."""

    user: str
    rung: Rung
    items: tuple[Recommended, ...]


class Recommender:
    """Answers from a model's tables: nothing is computed that could have been stored."""

    def __init__(self, model: FittedModel) -> None:
        self.model = model
        self._ids = tuple(model.arrays.items)
        self._titles = tuple(model.arrays.titles)
        self._popular = tuple(item for item, _ in model.popular())

    def recommend(self, user: str, n: int) -> Recommendations:
        """Up to n items for a user, known or not; fewer only where the catalogue has no more unseen ones."""
        number = self.model.user_number(user)
        if number is None:
            return Recommendations(user, "popular", self._named(islice(self._unscored(set()), n)))
        personal = self.model.personal(number)[:n]
        if len(personal) == n:
            return Recommendations(user, "personal", self._named(personal))
        left_out = self.model.seen(number) | {item for item, _ in personal}
        rest = islice(self._unscored(left_out), n - len(personal))
        rung: Rung = "personal" if personal else "popular"
        return Recommendations(user, rung, self._named(personal) + self._named(rest))

    def _unscored(self, left_out: set[int]) -> Iterator[tuple[int, None]]:
        """Popular items, most rated first, without those left out."""
        return ((item, None) for item in self._popular if item not in left_out)

    def _named(self, scored: Iterator[tuple[int, None]] | list[tuple[int, float]]) -> tuple[Recommended, ...]:
        return tuple(
            Recommended(self._ids[item], self._titles[item], None if score is None else round(score, 4))
            for item, score in scored
        )
