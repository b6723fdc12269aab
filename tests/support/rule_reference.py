"""Plain reference implementation of lists under the rules of the shop, as docs/serving.md states them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from marquee.model.fitted_model import FittedModel
from service.recommendation.list_selection import FALLBACK_LEVELS, FallbackLevel
from service.recommendation.recommender import RecommendationRequest, UserContext
from service.recommendation.shop_rules import AttributeFilter, ShopRules

LIKED_FROM = 4.0  # on the scale from 1 to 5


class ReferenceList(NamedTuple):
    """Expected response."""

    fallback_level: FallbackLevel
    items: list[int]
    relaxed_filters: set[str]


class _Level(NamedTuple):
    name: FallbackLevel
    priorities: dict[int, float]  # of all its items, in the order of ties


class RuleReference:
    """Ranks every item of every level, and selects one item at a time."""

    def __init__(
        self, model: FittedModel, rules: ShopRules, user: UserContext, request: RecommendationRequest
    ) -> None:
        self.model, self.rules, self.user, self.request = model, rules, user, request
        self.ids = {item_id: item for item, item_id in enumerate(model.arrays.items)}
        self.training = set() if user.inner_id is None else model.seen_items(user.inner_id)
        self.pins: dict[int, int] = {}  # item by position
        self.selected: dict[int, FallbackLevel] = {}  # without pinned items
        self.held_back: dict[int, FallbackLevel] = {}
        self.capped: dict[int, FallbackLevel] = {}
        self.counts = Counter[tuple[int, str]]()
        self.relaxed: set[str] = set()

    def recommend(self) -> ReferenceList:
        """Return the expected response."""
        self.pin_items()
        for level in self.levels():
            self.select_from(level, [item for item in level.priorities if self.matches(item)])
        self.release_held_back()
        static = [self.ids[item] for item in self.rules.static] + list(self.popular().priorities)
        self.select_from(_Level("static", dict.fromkeys(static, 0.0)), list(dict.fromkeys(static)))
        if "static" in self.selected.values():
            self.relaxed.update(self.request.filter_names)
        self.release_held_back()
        for item, name in self.capped.items():
            self.select(item, name, "caps")
        if "static" in self.selected.values():
            self.relaxed.update(self.request.filter_names)
        levels = [*self.selected.values()] or ["static" if self.pins else "personal"]
        return ReferenceList(max(levels, key=FALLBACK_LEVELS.index), self.arranged(), self.relaxed)

    def pin_items(self) -> None:
        """Pin the items that the user may see."""
        for pin in self.rules.pins:
            item = self.ids[pin.item]
            if pin.position <= self.request.n and self.may_show(item) and self.matches(item):
                self.pins[pin.position] = item
                self.count(item)

    def levels(self) -> Iterator[_Level]:
        """Yield the levels in order, each with all its items."""
        stored = self.stored()
        scored = self.scored()
        is_first = self.user.inner_id is None or self.user.history or self.reorders
        yield from (*scored, *stored) if is_first else (*stored, *scored)
        favorite = self.model.genre_affinity.favorite_genre([*sorted(self.training), *self.liked()])
        if favorite is not None:
            yield _Level("group", self.rank(self.model.popular_items_for_favorite_genre(favorite)))
        yield self.popular()

    @property
    def reorders(self) -> bool:
        """True if a stored list is not enough."""
        return bool(self.rules.diversity) or any(self.factor(item) != 1 for item in self.ids.values())

    def popular(self) -> _Level:
        """Return all items by popularity."""
        return _Level("popular", self.rank([item for item, _ in self.model.popular_items()]))

    def stored(self) -> list[_Level]:
        """Return the stored list of a known user."""
        if self.user.inner_id is None:
            return []
        scores = dict(self.model.stored_list(self.user.inner_id))
        ranking = dict(sorted(self.boost(scores, scores).items(), key=lambda each: -each[1]))
        return [_Level("personal" if self.model.manifest.is_personal else "popular", ranking)]

    def scored(self) -> list[_Level]:
        """Return all items by the scores of the recommender, or of similar items if it cannot score."""
        user, history, model, liked = self.user.inner_id, self.user.history, self.model, self.liked()
        scorer, used = model.scorer, history
        if scorer is None or not (scorer.can_score(history) or (user is not None and not liked)):
            scorer, used = model.similar_items_scorer, liked if user is None else history
        if not model.manifest.is_personal or (user is None and not scorer.can_score(used)):
            return []
        array = scorer.score_history(used) if user is None else scorer.score_user(user, used)
        scores = dict(enumerate(array.tolist()))
        is_similar = scorer is model.similar_items_scorer
        lowest = min(scores.values())
        n_lowest = sum(score == lowest for score in scores.values())
        bound = 0 if is_similar else lowest if n_lowest > 1 else -inf
        candidates = {item: score for item, score in scores.items() if score > bound}
        return [_Level("folded" if user is None else "live", self.boost(candidates, scores))]

    def liked(self) -> dict[int, float | None]:
        """Return the recent interactions without a value or with a high rating."""
        history = self.user.history.items()
        return {item: value for item, value in history if value is None or value >= LIKED_FROM}

    def boost(self, scores: dict[int, float], all_scores: dict[int, float]) -> dict[int, float]:
        """Return the priorities of scored items, in the order of ties."""
        lowest = min(all_scores.values(), default=0.0)
        if any(self.factor(item) != 1 for item in self.ids.values()):
            scores = {item: lowest + self.factor(item) * (score - lowest) for item, score in scores.items()}
        return scores

    def rank(self, items: Sequence[int]) -> dict[int, float]:
        """Return the priorities of items without scores, best first."""
        priorities = {item: self.factor(item) / position for position, item in enumerate(items, start=1)}
        return dict(sorted(priorities.items(), key=lambda each: -each[1]))

    def factor(self, item: int) -> float:
        """Return the product of the boosts of an item."""
        product = 1.0
        for boost in self.rules.boosts:
            is_item = boost.item is not None and self.ids[boost.item] == item
            if is_item or (boost.attribute and boost.value in self.values(item, boost.attribute)):
                product *= boost.factor
        return product

    def select_from(self, level: _Level, matching: list[int]) -> None:
        """Select the best candidates of a level one by one."""
        candidates = [item for item in matching if self.may_show(item)]
        remaining = list(candidates)
        while remaining:
            item = self.best(level, candidates, remaining)
            remaining.remove(item)
            self.offer(item, level.name)

    def best(self, level: _Level, candidates: list[int], remaining: list[int]) -> int:
        """Return the candidate with the highest priority or, with diversity, marginal relevance."""
        if level.name == "static":
            return remaining[0]
        if not self.rules.diversity:
            return max(remaining, key=level.priorities.__getitem__)
        values = [level.priorities[item] for item in candidates]
        low, spread = min(values), max(values) - min(values)
        strength = self.rules.diversity

        def relevance(item: int) -> float:
            scaled = (level.priorities[item] - low) / spread if spread else 0.0
            others = [*self.pins.values(), *self.selected]
            redundancy = max((self.similarity(item, other) for other in others), default=0.0)
            return (1 - strength) * scaled - strength * redundancy

        return max(remaining, key=relevance)

    def offer(self, item: int, level: FallbackLevel) -> None:
        """Select a candidate, or defer it."""
        if item in self.selected or item in self.pins.values() or self.is_full:
            return
        if item in self.user.held_back:
            self.held_back.setdefault(item, level)
        elif self.exceeds_cap(item):
            self.capped.setdefault(item, level)
        else:
            self.select(item, level)

    def release_held_back(self) -> None:
        """Select deferred items that were shown lately."""
        for item, level in self.held_back.items():
            if self.exceeds_cap(item) and not self.is_full and item not in self.selected:
                self.capped.setdefault(item, level)
            else:
                self.select(item, level, "repeat_after")
        self.held_back.clear()

    def select(self, item: int, level: FallbackLevel, relaxed: str | None = None) -> None:
        """Select an item unless the list is full or has it."""
        if self.is_full or item in self.selected:
            return
        self.selected[item] = level
        self.count(item)
        if relaxed is not None:
            self.relaxed.add(relaxed)

    @property
    def is_full(self) -> bool:
        """True if the list has all its items."""
        return len(self.selected) + len(self.pins) >= self.request.n

    def arranged(self) -> list[int]:
        """Return the selected items with the pinned items at their positions, or last in a short list."""
        items = list(self.selected)
        for position, item in sorted(self.pins.items()):
            items.insert(position - 1, item)
        return items

    def exceeds_cap(self, item: int) -> bool:
        """Return True if a cap on another attribute than those of the request's filters is reached."""
        exempt = {"genres" if name == "genre" else name for name in self.request.filter_names}
        return any(
            self.counts[number, value] >= cap.at_most
            for number, cap in enumerate(self.rules.caps)
            if cap.attribute not in exempt
            for value in self.values(item, cap.attribute)
            if cap.value in {None, value}
        )

    def count(self, item: int) -> None:
        """Count an item of the list."""
        for number, cap in enumerate(self.rules.caps):
            self.counts.update((number, value) for value in self.values(item, cap.attribute))

    def similarity(self, item: int, other: int) -> float:
        """Return the stored similarity of two items."""
        stored = [*self.model.similar_items(item), *self.model.similar_items(other)]
        return max((value for each, value in stored if each in {item, other}), default=0.0)

    def values(self, item: int, attribute: str) -> Sequence[str]:
        """Return the values of an attribute of an item."""
        if attribute == "genres":
            return self.model.arrays.genres[item].split("|")
        value = self.rules.attributes[attribute].get(self.model.arrays.items[item], ())
        return (value,) if isinstance(value, str) else value

    def may_show(self, item: int) -> bool:
        """Return True unless the operator, the request or the user's history rules the item out."""
        is_hidden = self.model.arrays.items[item] in self.rules.hidden
        is_known = item in self.training or item in self.user.recent or item in self.request.exclude
        return not is_hidden and not is_known and all(self.passes(item, rule) for rule in self.rules.filters)

    def passes(self, item: int, rule: AttributeFilter) -> bool:
        """Return True if an item passes a filter of the operator."""
        values = set(self.values(item, rule.attribute))
        return (not rule.any_of or bool(values & set(rule.any_of))) and not values & set(rule.none_of)

    def matches(self, item: int) -> bool:
        """Return True if an item passes the filters of the request."""
        genre = self.request.genre
        genres = self.model.genre_affinity.genres
        has_genre = genre is None or genres[genre] in self.values(item, "genres")
        return has_genre and all(value in self.values(item, name) for name, value in self.request.attributes)
