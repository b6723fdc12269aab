"""The fallback chain: recommendations from a fitted model for known users, unknown users and visitors.

    personal   the stored list of a known user
    live       all items scored for a known user whose stored list is exhausted by filters
    folded     all items scored for a user with ratings or clicks who is not in the training data
    group      the most popular items of users with the same favorite genre
    popular    the most popular items of all users
    static     the operator's list, then the rest of the catalog; the genre filter is dropped

Levels are tried in this order until the list is full. A level that would miss the deadline is skipped. The
fallback level of a response is the lowest level that contributed an item. If the recommender gives nearly the
same list to everybody, stored lists count as `popular`, and nothing is scored. No level returns items that
the request excludes, items that are not available or, unless the model allows repeats, items that the user
has rated or watched.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from marquee.array_types import BoolArray, Float32Array, Int32Array
from marquee.model.fitted_model import FittedModel
from marquee.model.scorers.history import History
from service.recommendation.availability import AvailabilityPolicy, ItemAvailability, VisibleItems
from service.recommendation.deadline import NO_DEADLINE, Deadline
from service.recommendation.level_costs import LevelCosts

FallbackLevel = Literal["personal", "live", "folded", "group", "popular", "static"]
FALLBACK_LEVELS: tuple[FallbackLevel, ...] = get_args(FallbackLevel)
ScoredItem = tuple[int, float | None]  # inner id; score of the recommender, or None if it was not scored


@dataclass(frozen=True)
class RecommendationRequest:
    """Number of items to recommend, and filters."""

    n: int
    exclude: frozenset[int] = frozenset()  # inner ids
    genre: int | None = None  # index into the genres of the model


@dataclass(frozen=True)
class UserContext:
    """A user's inner id and activity since training.

    Attributes:
        inner_id: None if the user is not in the training data.
        recent: items that the user rated or watched, with the rating; None if the item was only watched.
        clicked: items that the user clicked. They are used for scoring, but may be recommended again.
    """

    inner_id: int | None = None
    recent: Mapping[int, float | None] = field(default_factory=dict)
    clicked: frozenset[int] = frozenset()

    @property
    def history(self) -> History:
        """All recent interactions, for scoring."""
        return {**dict.fromkeys(sorted(self.clicked)), **self.recent}


@dataclass(frozen=True)
class Recommendations:
    """Recommended items, best first, with the fallback level and the filters that were dropped."""

    fallback_level: FallbackLevel
    items: tuple[ScoredItem, ...]
    relaxed_filters: tuple[str, ...] = ()


class Recommender:
    """Recommends items of one model. All items are scored only if the stored list is too short."""

    def __init__(self, model: FittedModel, policy: AvailabilityPolicy | None = None) -> None:
        self.model = model
        self.costs = LevelCosts()
        self._availability = ItemAvailability(model, policy or AvailabilityPolicy())
        self._visible = self._availability.compute_visible_items(time.time())
        self._popular = tuple(item for item, _ in model.popular_items())
        self._genre_flags = tuple(row.tobytes() for row in model.genre_affinity.item_masks)
        self._scorer = model.scorer if model.manifest.is_personal else None
        self._stored_list_level: FallbackLevel = "personal" if model.manifest.is_personal else "popular"

    @property
    def next_availability_change(self) -> float:
        """Time of the next change of availability in UTC seconds."""
        return self._visible.valid_until

    def visible_items(self, now: float) -> VisibleItems:
        """Return the items that may be shown at `now` (UTC seconds)."""
        if now >= self._visible.valid_until:
            self._visible = self._availability.compute_visible_items(now)
        return self._visible

    def recommend(
        self, user: UserContext, request: RecommendationRequest, deadline: Deadline = NO_DEADLINE
    ) -> Recommendations:
        """Recommend items to a user.

        The list is shorter than `request.n` only if fewer items are visible and not excluded.
        """
        visible = self.visible_items(time.time())
        selected: dict[int, float | None] = {}
        lowest: FallbackLevel = "personal"
        for level, candidates in self._fallback_chain(user, request, visible, deadline):
            n_before = len(selected)
            genre = None if request.genre is None or level == "static" else self._genre_flags[request.genre]
            excluded = self._excluded_items(user, request, level)
            _fill(selected, _filter(candidates, excluded, visible.mask_bytes, genre), request.n)
            if len(selected) > n_before:
                lowest = max(lowest, level, key=FALLBACK_LEVELS.index)
            if len(selected) == request.n:
                break
        relaxed_filters = ("genre",) if lowest == "static" and request.genre is not None else ()
        return Recommendations(lowest, tuple(selected.items()), relaxed_filters)

    def similar(self, item: int, n: int) -> Recommendations:
        """Return items of the same users, then popular items of a shared genre, then popular items."""
        visible = self.visible_items(time.time()).mask_bytes
        masks = self.model.genre_affinity.item_masks
        shared_genre = masks[masks[:, item]].any(axis=0).tobytes()
        sources: tuple[tuple[FallbackLevel, Iterable[ScoredItem], bytes | None], ...] = (
            ("personal", self.model.similar_items(item), None),
            ("popular", _without_scores(self._popular), shared_genre),
            ("popular", _without_scores(self._popular), None),
        )
        selected: dict[int, float | None] = {}
        lowest: FallbackLevel = "personal"
        for level, candidates, genre in sources:
            n_before = len(selected)
            _fill(selected, _filter(candidates, {item}, visible, genre), n)
            if len(selected) > n_before:
                lowest = level
        return Recommendations(lowest, tuple(selected.items()))

    def _fallback_chain(
        self, user: UserContext, request: RecommendationRequest, visible: VisibleItems, deadline: Deadline
    ) -> Iterator[tuple[FallbackLevel, Iterable[ScoredItem]]]:
        """Yield the levels that apply to a user with their candidates, each computed when it is reached."""
        if user.inner_id is not None:
            yield self._stored_list_level, self.model.stored_list(user.inner_id)
        level = self._scoring_level(user)
        if level is not None and self.costs.admit(level, deadline):
            with self.costs.measure(level, deadline.clock):
                best = self._best_items(user, request, visible)
            yield level, best
        favorite = self.model.genre_affinity.favorite_genre([*self._training_items(user), *user.history])
        if favorite is not None:
            yield "group", _without_scores(self.model.popular_items_for_favorite_genre(favorite))
        yield "popular", _without_scores(self._popular)
        yield "static", _without_scores((*self._availability.static_items, *self._popular))

    def _scoring_level(self, user: UserContext) -> FallbackLevel | None:
        """Return the level that scores all items for a user, or None if they cannot be scored."""
        if self._scorer is None:
            return None
        if user.inner_id is not None:
            return "live"
        return "folded" if self._scorer.can_score(user.history) else None

    def _best_items(
        self, user: UserContext, request: RecommendationRequest, visible: VisibleItems
    ) -> list[ScoredItem]:
        """Score all items and return the best `request.n` that pass the filters."""
        allowed = visible.mask.copy()
        if request.genre is not None:
            allowed &= self.model.genre_affinity.item_masks[request.genre]
        allowed[list(request.exclude)] = False
        if not self.model.manifest.repeats_allowed:
            for known_items in (self._training_items(user), list(user.recent)):
                allowed[known_items] = False
        return _top_n(self._scores(user), allowed, request.n)

    def _scores(self, user: UserContext) -> Float32Array:
        """Return the scores of all items, shape (n_items,)."""
        assert self._scorer is not None
        if user.inner_id is not None:
            return self._scorer.score_user(user.inner_id, user.history)
        return self._scorer.score_history(user.history)

    def _training_items(self, user: UserContext) -> Int32Array:
        """Return the items that a user interacted with in the training data."""
        if user.inner_id is None:
            return np.zeros(0, dtype=np.int32)
        start, stop = self.model.arrays.seen_indptr[user.inner_id : user.inner_id + 2]
        return self.model.arrays.seen_items[start:stop]

    def _excluded_items(
        self, user: UserContext, request: RecommendationRequest, level: FallbackLevel
    ) -> Set[int]:
        """Return the items that must not be recommended. Stored lists contain no training items."""
        if self.model.manifest.repeats_allowed:
            return request.exclude
        excluded = request.exclude | user.recent.keys()
        if user.inner_id is None or level == "personal":
            return excluded
        return excluded | self.model.seen_items(user.inner_id)


def _filter(
    candidates: Iterable[ScoredItem], excluded: Set[int], visible: bytes, genre: bytes | None
) -> Iterator[ScoredItem]:
    """Yield the candidates that pass all filters; `visible` and `genre` hold one byte per item."""
    for item, score in candidates:
        if item not in excluded and visible[item] and (genre is None or genre[item]):
            yield item, score


def _fill(selected: dict[int, float | None], candidates: Iterator[ScoredItem], n: int) -> None:
    """Add candidates until n items are selected; an item that is already selected keeps its score."""
    if len(selected) == n:
        return
    for item, score in candidates:
        selected.setdefault(item, score)
        if len(selected) == n:
            return


def _without_scores(items: Iterable[int]) -> Iterator[ScoredItem]:
    return ((item, None) for item in items)


def _top_n(scores: Float32Array, allowed: BoolArray, n: int) -> list[ScoredItem]:
    """Return the n allowed items with the highest scores; among equal scores, lower inner ids come first."""
    items = np.flatnonzero(allowed)
    values = scores[items]
    if len(items) > n:
        threshold = np.partition(values, len(values) - n)[len(values) - n]
        reaches_threshold = values >= threshold
        items, values = items[reaches_threshold], values[reaches_threshold]
    order = np.argsort(-values, kind="stable")[:n]
    return list(zip(items[order].tolist(), values[order].tolist(), strict=True))
