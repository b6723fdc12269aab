"""Request -> recommendations: the fallback ladder over a fitted model.

    personal   the stored list of a known user
    live       all items scored for a known user, where filters exhausted the list
    folded     all items scored for somebody with ratings whom training did not see
    group      what users of the same taste rated most
    popular    what most people rated
    static     the operator's list, then the catalogue: a wish for a genre no longer counts

A request takes from one rung after the other until it has enough, and leaves out a rung that would come too
late. An answer says which rung it stands on: the lowest that gave an item. No rung gives what the user has
rated, what was asked to be left out, or what may not be shown.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from marquee.arrays import Integers, Mask, Scores
from marquee.model.factor_space import Place
from marquee.model.fitted_model import FittedModel
from service.recommendation.availability import Catalogue, Policy, Shown
from service.recommendation.deadline import NEVER, Costs, Deadline

Rung = Literal["personal", "live", "folded", "group", "popular", "static"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
Scored = tuple[int, float | None]  # item number; a predicted rating before clipping to the scale, or None


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    n: int
    exclude: frozenset[int] = frozenset()
    genre: int | None = None  # a number of `Tastes.genres`


@dataclass(frozen=True)
class Person:
    """Who asks."""

    number: int | None = None  # in the model's training data
    rated: Mapping[int, float | None] = field(default_factory=dict)  # since then; None: seen, not rated


@dataclass(frozen=True)
class Answer:
    """Item numbers and scores, best first."""

    rung: Rung
    items: tuple[Scored, ...]
    relaxed: tuple[str, ...] = ()  # wishes that could not be met


class Recommender:
    """Answers from a model's tables: nothing is computed that could have been stored."""

    def __init__(self, model: FittedModel, policy: Policy | None = None) -> None:
        self.model = model
        self.costs = Costs()
        self._catalogue = Catalogue(model, policy or Policy())
        self._shown = self._catalogue.shown(time.time())
        self._popular = tuple(item for item, _ in model.popular())
        self._of_genre = tuple(row.tobytes() for row in model.tastes.members)

    @property
    def valid_until(self) -> float:
        """When something is shown or hidden next, in UTC seconds: until then an answer stays what it is."""
        return self._shown.until

    def shown(self, now: float) -> Shown:
        """What may be shown now (UTC seconds)."""
        if now >= self._shown.until:
            self._shown = self._catalogue.shown(now)
        return self._shown

    def recommend(self, person: Person, wish: Wish, deadline: Deadline = NEVER) -> Answer:
        """The best n items for somebody; fewer only where the catalogue has no more that may be given."""
        shown = self.shown(time.time())
        taken: dict[int, float | None] = {}
        lowest: Rung = "personal"
        for rung, candidates in self._ladder(person, wish, shown, deadline):
            before = len(taken)
            genre = None if wish.genre is None or rung == "static" else self._of_genre[wish.genre]
            barred = self._barred(person, wish, rung)
            _take(taken, _fitting(candidates, barred, shown.flags, genre), wish.n)
            if len(taken) > before:
                lowest = rung
            if len(taken) == wish.n:
                break
        relaxed = ("genre",) if lowest == "static" and wish.genre is not None else ()
        return Answer(lowest, tuple(taken.items()), relaxed)

    def similar(self, item: int, n: int) -> Answer:
        """What the same people rated; then what is popular of its genres, and at all."""
        flags = self.shown(time.time()).flags
        members = self.model.tastes.members
        kin = members[members[:, item]].any(axis=0).tobytes()
        taken: dict[int, float | None] = {}
        lowest: Rung = "personal"
        sources: tuple[tuple[Rung, Iterable[Scored], bytes | None], ...] = (
            ("personal", self.model.similar(item), None),
            ("popular", _unscored(self._popular), kin),
            ("popular", _unscored(self._popular), None),
        )
        for rung, candidates, genre in sources:
            before = len(taken)
            _take(taken, _fitting(candidates, {item}, flags, genre), n)
            if len(taken) > before:
                lowest = rung
        return Answer(lowest, tuple(taken.items()))

    def predict(self, person: Person, item: int) -> tuple[float, bool]:
        """A rating in stars, within the scale, and whether it says anything of this user.

        What cannot be told is the mean of all ratings, as in scikit-surprise.
        """
        low, high = self.model.manifest.scale
        space = self.model.arrays.factors
        scored = self._scored_rung(person)
        if space is None or scored is None:
            return self.model.manifest.global_mean, False
        place = self._place(person)
        score = float(space.scores(place)[item])
        return min(max(score, low), high), True

    def _ladder(
        self, person: Person, wish: Wish, shown: Shown, deadline: Deadline
    ) -> Iterator[tuple[Rung, Iterable[Scored]]]:
        """The rungs that this person can stand on, from the top; each is made when it is reached."""
        if person.number is not None:
            yield "personal", self.model.personal(person.number)
        if (scored := self._scored_rung(person)) and self.costs.fits(scored, deadline):
            with self.costs.measured(scored, deadline.clock):
                best = self._best(person, wish, shown)
            yield scored, best
        history = [*self._history(person), *person.rated]
        taste = self.model.tastes.favourite(history)
        if taste is not None:
            yield "group", _unscored(self.model.of_taste(taste))
        yield "popular", _unscored(self._popular)
        yield "static", _unscored((*self._catalogue.static, *self._popular))

    def _scored_rung(self, person: Person) -> Rung | None:
        """The rung on which all items are scored for this person, if there is one."""
        if self.model.arrays.factors is None:
            return None
        if person.number is not None:
            return "live"
        return "folded" if any(rating is not None for rating in person.rated.values()) else None

    def _best(self, person: Person, wish: Wish, shown: Shown) -> list[Scored]:
        """The best n items of all that may be given, scored now."""
        space = self.model.arrays.factors
        assert space is not None
        scores = space.scores(self._place(person))
        open_ = shown.mask.copy()
        if wish.genre is not None:
            open_ &= self.model.tastes.members[wish.genre]
        for numbers in (self._history(person), list(wish.exclude), list(person.rated)):
            open_[numbers] = False
        return _highest(scores, open_, wish.n)

    def _place(self, person: Person) -> Place:
        """Where a known user stands, or where a newcomer's ratings put them."""
        space = self.model.arrays.factors
        assert space is not None
        if person.number is not None:
            return space.known(person.number)
        given = {item: rating for item, rating in person.rated.items() if rating is not None}
        return space.fold_in(np.array(list(given), dtype=np.int32), np.array(list(given.values())))

    def _history(self, person: Person) -> Integers:
        """What a known user rated in training."""
        if person.number is None:
            return np.zeros(0, dtype=np.int32)
        start, stop = self.model.arrays.seen_indptr[person.number : person.number + 2]
        return self.model.arrays.seen_items[start:stop]

    def _barred(self, person: Person, wish: Wish, rung: Rung) -> Set[int]:
        """What must not be given. A stored list was made without what its user had rated."""
        barred = wish.exclude | person.rated.keys()
        if rung == "personal" or person.number is None:
            return barred
        return barred | self.model.seen(person.number)


def _fitting(
    candidates: Iterable[Scored], barred: Set[int], shown: bytes, genre: bytes | None
) -> Iterator[Scored]:
    """Candidates that may be given, each filter exact; `shown` and `genre` hold a byte an item."""
    for item, score in candidates:
        if item not in barred and shown[item] and (genre is None or genre[item]):
            yield item, score


def _take(taken: dict[int, float | None], candidates: Iterator[Scored], n: int) -> None:
    """Take until there are n, each item once, with the score of the higher rung."""
    if len(taken) == n:
        return
    for item, score in candidates:
        taken.setdefault(item, score)
        if len(taken) == n:
            return


def _unscored(items: Iterable[int]) -> Iterator[Scored]:
    return ((item, None) for item in items)


def _highest(scores: Scores, open_: Mask, n: int) -> list[Scored]:
    """The n best of the open items; of equal scores the lower item number comes first, at the cut as well."""
    items = np.flatnonzero(open_)
    values = scores[items]
    if len(items) > n:
        threshold = np.partition(values, len(values) - n)[len(values) - n]
        keep = values >= threshold
        items, values = items[keep], values[keep]
    order = np.argsort(-values, kind="stable")[:n]
    return list(zip(items[order].tolist(), values[order].tolist(), strict=True))
