"""The fallback chain: recommendations from a fitted model for known users, unknown users and visitors.

    live       all items scored for a known user with feedback since training
    personal   the stored list of a known user
    live       all items scored for a known user whose stored list is exhausted by filters
    folded     all items scored for a user with ratings or clicks who is not in the training data
    group      the most popular items of users with the same favorite genre
    popular    the most popular items of all users
    static     the operator's list, then the rest of the catalog; filters of the request are dropped

Levels are tried in this order until the list is full. A level that would miss the deadline is skipped. The
fallback level of a response is the lowest level that contributed an item. If the recommender gives nearly the
same list to everybody, stored lists count as `popular`, and nothing is scored. No level returns items that
the request excludes, items that are not available or, unless the model allows repeats, items that the user
has rated or watched.

Rules of the shop (`service.recommendation.shop_rules`) apply to each level: filters remove candidates, boosts
and diversity change their order, caps and exposures defer candidates. Pinned items have their places before
any level is tried. With boosts or diversity, a known user's list is always scored, because a stored list is
only the start of the ranking.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from marquee.array_types import BoolArray, Int32Array
from marquee.model.fitted_model import FittedModel
from marquee.model.scorers.history import History
from marquee.model.scorers.stored_scorer import Scorer
from service.recommendation.availability import ItemAvailability, VisibleItems
from service.recommendation.compiled_rules import compile_rules
from service.recommendation.deadline import NO_DEADLINE, Deadline
from service.recommendation.level_costs import LevelCosts
from service.recommendation.level_ranker import LevelRanker, RankedItems
from service.recommendation.list_selection import FallbackLevel, ListSelection
from service.recommendation.ranking import ScoredItem
from service.recommendation.shop_rules import ShopRules

DEFERRED_FACTOR = 4  # candidates expected to be needed for each item of a list, if some may be deferred


@dataclass(frozen=True)
class RecommendationRequest:
    """Number of items to recommend, and filters."""

    n: int
    exclude: frozenset[int] = frozenset()  # inner ids
    genre: int | None = None  # index into the genres of the model
    attributes: tuple[tuple[str, str], ...] = ()  # names and required values

    @property
    def filter_names(self) -> tuple[str, ...]:
        """Names of the filters that the level `static` drops."""
        return (*(("genre",) if self.genre is not None else ()), *(name for name, _ in self.attributes))


@dataclass(frozen=True)
class UserContext:
    """A user's inner id and activity since training.

    Attributes:
        inner_id: None if the user is not in the training data.
        recent: rating or weight of the items that the user rated or watched; None if only watched.
        clicked: weight of the items that the user only clicked; None if the model was trained on ratings.
            They are used for scoring, but may be recommended again.
        held_back: items that were shown to the user lately.
    """

    inner_id: int | None = None
    recent: Mapping[int, float | None] = field(default_factory=dict)
    clicked: Mapping[int, float | None] = field(default_factory=dict)
    held_back: frozenset[int] = frozenset()

    @property
    def history(self) -> History:
        """All recent interactions, for scoring."""
        return {**self.clicked, **self.recent}

    @property
    def ratings(self) -> Mapping[int, float]:
        """Recent interactions with a value, which is a rating if the model was trained on ratings."""
        return {item: value for item, value in self.recent.items() if value is not None}


@dataclass(frozen=True)
class Recommendations:
    """Recommended items in order, with the fallback level and what was relaxed to fill the list.

    Attributes:
        fallback_level: lowest level that contributed an item.
        items: recommended items with their scores, without boosts.
        relaxed_filters: filters of the request, and rules, without which the list would be shorter.
        is_repeatable: True if the same request gets the same items until the user's next event or exposure:
            no level was skipped to meet the deadline.
    """

    fallback_level: FallbackLevel
    items: tuple[ScoredItem, ...]
    relaxed_filters: tuple[str, ...] = ()
    is_repeatable: bool = True


@dataclass(frozen=True)
class _Query:
    """A request of a user, and what it may show.

    Attributes:
        user: the user.
        request: the request.
        visible: items that are available and pass the operator's filters.
        matches: items that pass the request's filters, one byte per item; None without filters.
    """

    user: UserContext
    request: RecommendationRequest
    visible: VisibleItems
    matches: bytes | None


class Recommender:
    """Recommends items of one model. All items are scored only if the stored list is not enough."""

    def __init__(self, model: FittedModel, rules: ShopRules | None = None) -> None:
        """Prepare a model and its rules; `compiled_rules.problems` describes rules that do not fit it."""
        self.model = model
        self.costs = LevelCosts()
        shop_rules = rules or ShopRules()
        self.compiled_rules = compile_rules(model, shop_rules)
        self._availability = ItemAvailability(model, shop_rules, self.compiled_rules.passes_filters)
        self._visible = self._availability.compute_visible_items(time.time())
        self._genre_flags = tuple(row.tobytes() for row in model.genre_affinity.item_masks)
        self._stored_list_level: FallbackLevel = "personal" if model.manifest.is_personal else "popular"
        self._ranker = LevelRanker(self.compiled_rules)
        self._ranked_popular = self._ranker.rank_list([item for item, _ in model.popular_items()])
        self._popular = self._ranked_popular.items

    @property
    def stored_list_level(self) -> FallbackLevel:
        """Fallback level of stored lists: `popular` if everybody gets nearly the same one."""
        return self._stored_list_level

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
        query = _Query(user, request, self.visible_items(time.time()), self._match_filters(request))
        selection = self._start_selection(query)
        is_repeatable = True
        levels = () if selection.is_full else self._fallback_chain(query, deadline, selection)
        for level, candidates in levels:
            if candidates is None:
                is_repeatable = False
                continue
            selection.add(level, candidates)
            if selection.is_full:
                break
        else:
            self._relax(query, selection)
        dropped = request.filter_names if selection.uses_static else ()
        items, relaxed = tuple(selection.ordered_items()), (*dropped, *selection.relaxed)
        return Recommendations(selection.level, items, relaxed, is_repeatable)

    def similar(self, item: int, n: int) -> Recommendations:
        """Return items of the same users, then popular items of a shared genre, then popular items."""
        visible = self.visible_items(time.time()).mask_bytes
        masks = self.model.genre_affinity.item_masks
        shared_genre = masks[masks[:, item]].any(axis=0).tobytes()
        popular = [item for item, _ in self.model.popular_items()]
        sources: tuple[tuple[FallbackLevel, Iterable[ScoredItem], bytes | None], ...] = (
            ("personal", self.model.similar_items(item), None),
            ("popular", _without_scores(popular), shared_genre),
            ("popular", _without_scores(popular), None),
        )
        selection = ListSelection(n)
        for level, candidates, genre in sources:
            selection.add(level, _filter(candidates, {item}, visible, genre))
        return Recommendations(selection.level, tuple(selection.ordered_items()))

    def _start_selection(self, query: _Query) -> ListSelection:
        """Return a selection with the pinned items that may be shown to the user."""
        rules, request = self.compiled_rules, query.request
        pins: list[tuple[int, int]] = []
        if rules.pins:
            excluded = self._excluded_items(query.user, request, "static")
            pins = [
                (position, item)
                for position, item in rules.pins
                if position < request.n
                and item not in excluded
                and query.visible.mask[item]
                and (query.matches is None or query.matches[item])
            ]
        return ListSelection(
            request.n,
            pins=pins,
            caps=rules.caps,
            exempt={"genres" if name == "genre" else name for name in request.filter_names},
            held_back=query.user.held_back,
        )

    def _relax(self, query: _Query, selection: ListSelection) -> None:
        """Fill a list that all levels left too short: drop exposures, the request's filters, then caps."""
        selection.add_held_back()
        if not selection.is_full:
            excluded = self._excluded_items(query.user, query.request, "static")
            static = _without_scores(chain(self._availability.static_items, self._popular))
            selection.add("static", _filter(static, excluded, query.visible.mask_bytes, None))
            selection.add_held_back()
        selection.add_capped()

    def _fallback_chain(
        self, query: _Query, deadline: Deadline, selection: ListSelection
    ) -> Iterator[tuple[FallbackLevel, Iterable[ScoredItem] | None]]:
        """Yield the levels that apply to a user with their candidates, each computed when it is reached.

        The candidates of a level that is skipped to meet the deadline are None.
        """
        user = query.user
        history = user.history
        scores_first = user.inner_id is None or bool(history) or self.compiled_rules.reorders
        if user.inner_id is not None and not scores_first:
            yield self._stored_list_level, self._stored_candidates(user.inner_id, query, selection)
        level: FallbackLevel = "folded" if user.inner_id is None else "live"
        scorer = self._choose_scorer(user, history)
        if scorer is not None:
            if self.costs.admit(level, deadline):
                with self.costs.measure(level, deadline.clock):
                    best = self._best_items(query, scorer, history, selection)
                yield level, best
            else:
                yield level, None
        if user.inner_id is not None and scores_first:
            yield self._stored_list_level, self._stored_candidates(user.inner_id, query, selection)
        yield from self._popular_levels(query, history, selection)

    def _popular_levels(
        self, query: _Query, history: History, selection: ListSelection
    ) -> Iterator[tuple[FallbackLevel, Iterable[ScoredItem]]]:
        """Yield the levels `group` and `popular`."""
        liked = self.model.similar_items_scorer.select_liked(history)
        favorite = self.model.genre_affinity.favorite_genre([*self._training_items(query.user), *liked])
        if favorite is not None:
            group = self.model.popular_items_for_favorite_genre(favorite)
            yield "group", self._list_candidates("group", self._ranker.rank_list(group), query, selection)
        yield "popular", self._list_candidates("popular", self._ranked_popular, query, selection)

    def _stored_candidates(self, user: int, query: _Query, selection: ListSelection) -> Iterable[ScoredItem]:
        """Return the stored list of a user in the order of the rules."""
        stored, level = self.model.stored_list(user), self._stored_list_level
        if not self.compiled_rules.reorders:
            return self._filter_level(level, stored, query)
        ranked = self._ranker.rank_list([item for item, _ in stored], [score for _, score in stored])
        return self._list_candidates(level, ranked, query, selection)

    def _list_candidates(
        self, level: FallbackLevel, ranked: RankedItems, query: _Query, selection: ListSelection
    ) -> Iterable[ScoredItem]:
        """Return the items of a list that pass the filters, in the order of the rules."""
        return self._ranker.iter_list(
            ranked, lambda items: self._filter_level(level, items, query), selection.selected.keys()
        )

    def _choose_scorer(self, user: UserContext, history: History) -> Scorer | None:
        """Return the scorer for a user, or None if the user cannot be scored.

        Histories that the recommender cannot use, such as clicks if it was trained on ratings, are scored by
        similar items. These need an interaction that is not negative.
        """
        if not self.model.manifest.is_personal:
            return None
        scorer, is_known = self.model.scorer, user.inner_id is not None
        if scorer is not None and scorer.can_score(history):
            return scorer
        similar_items_scorer = self.model.similar_items_scorer
        if similar_items_scorer.can_score(history) or (is_known and scorer is None):
            return similar_items_scorer
        return scorer if is_known else None

    def _best_items(
        self, query: _Query, scorer: Scorer, history: History, selection: ListSelection
    ) -> Iterator[ScoredItem]:
        """Score all items, and return those that pass the filters in the order of the rules."""
        user = query.user
        is_similar = scorer is self.model.similar_items_scorer
        scores = (
            scorer.score_history(history)
            if user.inner_id is None
            else scorer.score_user(user.inner_id, history)
        )
        allowed = self._allowed_items(query)
        is_lowest = scores == scores.min()
        if is_similar:
            allowed &= scores > 0  # the others are similar to nothing that the user likes
        elif np.count_nonzero(is_lowest) > 1:
            allowed &= ~is_lowest  # a model with few weights knows nothing about them; next levels order them
        n = selection.n_missing
        if self.compiled_rules.caps is not None or user.held_back:
            n = DEFERRED_FACTOR * n + len(user.held_back)
        best = self._ranker.iter_scored(scores, allowed, n, selection.selected.keys())
        if is_similar and self.model.manifest.score_unit == "stars":
            return _without_scores(item for item, _ in best)  # sums of similarities are no ratings
        return best

    def _allowed_items(self, query: _Query) -> BoolArray:
        """Return the items that may be recommended at a level that scores all items, shape (n_items,)."""
        allowed = query.visible.mask.copy()
        if query.matches is not None:
            allowed &= np.frombuffer(query.matches, dtype=bool)
        if query.request.exclude:
            allowed[list(query.request.exclude)] = False
        if not self.model.manifest.repeats_allowed:
            allowed[self._training_items(query.user)] = False
            if query.user.recent:
                allowed[list(query.user.recent)] = False
        return allowed

    def _match_filters(self, request: RecommendationRequest) -> bytes | None:
        """Return which items pass the filters of a request, one byte per item; None without filters."""
        genre = None if request.genre is None else self._genre_flags[request.genre]
        if not request.attributes:
            return genre
        attributes = self.compiled_rules.attributes
        matches = np.ones(attributes.n_items, dtype=bool)
        if genre is not None:
            matches &= np.frombuffer(genre, dtype=bool)
        for name, value in request.attributes:
            matches &= attributes.mask(name, (value,))
        return matches.tobytes()

    def _filter_level(
        self, level: FallbackLevel, candidates: Iterable[ScoredItem], query: _Query
    ) -> Iterator[ScoredItem]:
        """Yield the candidates of a level that may be shown and pass the filters of the request."""
        excluded = self._excluded_items(query.user, query.request, level)
        return _filter(candidates, excluded, query.visible.mask_bytes, query.matches)

    def _training_items(self, user: UserContext) -> Int32Array:
        """Return the items that a user interacted with in the training data."""
        if user.inner_id is None:
            return np.zeros(0, dtype=np.int32)
        return self.model.arrays.training.items_of(user.inner_id)

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
    candidates: Iterable[ScoredItem], excluded: Set[int], visible: bytes, matches: bytes | None
) -> Iterator[ScoredItem]:
    """Yield the candidates that pass all filters; `visible` and `matches` hold one byte per item."""
    for item, score in candidates:
        if item not in excluded and visible[item] and (matches is None or matches[item]):
            yield item, score


def _without_scores(items: Iterable[int]) -> Iterator[ScoredItem]:
    return ((item, None) for item in items)
