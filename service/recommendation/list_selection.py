"""Selection of the items of one list from the candidates of the fallback levels, within the rules."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Literal, get_args

from service.recommendation.compiled_rules import CompiledCaps
from service.recommendation.ranking import ScoredItem

FallbackLevel = Literal["personal", "live", "folded", "group", "popular", "static"]
FALLBACK_LEVELS: tuple[FallbackLevel, ...] = get_args(FallbackLevel)
REPEAT_AFTER, CAPS = "repeat_after", "caps"  # in `relaxed_filters`


class ListSelection:
    """Items of a list while it is being filled; candidates are added in order of preference.

    Candidates that were shown lately, or that would exceed a cap, are deferred: they are selected only if all
    other candidates leave the list too short.

    Attributes:
        selected: score of each selected item, pinned items first.
        level: lowest fallback level that contributed an item.
        uses_static: True if the level `static` contributed an item that is not pinned.
        relaxed: names of the rules without which the list would be shorter.
    """

    def __init__(
        self,
        n: int,
        *,
        pins: Sequence[tuple[int, int]] = (),
        caps: CompiledCaps | None = None,
        exempt: Set[str] = frozenset(),
        held_back: Set[int] = frozenset(),
    ) -> None:
        """Start with the pinned items.

        Args:
            n: number of items of the list.
            pins: zero-based position and inner id of each item to pin, by position.
            caps: caps on values of attributes; pinned items count.
            exempt: attributes whose caps do not apply.
            held_back: items that were shown lately.
        """
        self._n = n
        self._pins = pins
        self._caps = caps
        self._exempt = exempt
        self._counts = Counter[int]()  # by key of a cap
        self._held_back = held_back
        self._deferred: dict[str, dict[int, tuple[FallbackLevel, float | None]]] = {
            REPEAT_AFTER: {},
            CAPS: {},
        }
        self.selected: dict[int, float | None] = {item: None for _, item in pins}
        self.level: FallbackLevel = "static" if pins else "personal"
        self.uses_static = False
        self.relaxed: list[str] = []
        if caps is not None:
            for item in self.selected:
                self._counts.update(caps.keys_by_item[item])

    @property
    def is_full(self) -> bool:
        """True if the list has all its items."""
        return len(self.selected) >= self._n

    @property
    def n_missing(self) -> int:
        """Number of items that the list still lacks."""
        return self._n - len(self.selected)

    def add(self, level: FallbackLevel, candidates: Iterable[ScoredItem]) -> None:
        """Select candidates of a level until the list is full; an item that is selected keeps its score."""
        selected, n_before = self.selected, len(self.selected)
        if n_before >= self._n:
            return
        for item, score in candidates:
            if item not in selected and self._accept(item, score, level):
                selected[item] = score
                if len(selected) == self._n:
                    break
        if len(selected) > n_before:
            self._lower_level(level, has_items=n_before > len(self._pins))

    def add_held_back(self) -> None:
        """Select deferred items that were shown lately, if the list is not full."""
        self._add_deferred(REPEAT_AFTER)

    def add_capped(self) -> None:
        """Select deferred items that exceed a cap, if the list is not full."""
        self._caps = None
        self._add_deferred(CAPS)

    def ordered_items(self) -> Iterator[ScoredItem]:
        """Yield the items of the list in order: pinned items at their positions, the others between them."""
        others = iter(list(self.selected.items())[len(self._pins) :])
        pins = dict(self._pins)
        for position in range(len(self.selected)):
            if position in pins:
                yield pins.pop(position), None
            elif (other := next(others, None)) is not None:
                yield other
        yield from ((item, None) for item in pins.values())

    def _accept(self, item: int, score: float | None, level: FallbackLevel) -> bool:
        """Return True if an item may be selected now; otherwise defer it."""
        if item in self._held_back:
            self._deferred[REPEAT_AFTER].setdefault(item, (level, score))
            return False
        if self._caps is None:
            return True
        if not (keys := self._caps.keys_by_item[item]):
            return True
        if any(self._is_exceeded(self._caps, key) for key in keys):
            self._deferred[CAPS].setdefault(item, (level, score))
            return False
        self._counts.update(keys)
        return True

    def _is_exceeded(self, caps: CompiledCaps, key: int) -> bool:
        return self._counts[key] >= caps.limits[key] and caps.attributes[key] not in self._exempt

    def _add_deferred(self, reason: str) -> None:
        n_before = len(self.selected)
        deferred, self._deferred[reason] = self._deferred[reason], {}
        held_back, self._held_back = self._held_back, frozenset()
        for item, (level, score) in deferred.items():
            self.add(level, ((item, score),))
        self._held_back = held_back
        if len(self.selected) > n_before and reason not in self.relaxed:
            self.relaxed.append(reason)

    def _lower_level(self, level: FallbackLevel, *, has_items: bool) -> None:
        self.level = max(self.level, level, key=FALLBACK_LEVELS.index) if has_items else level
        self.uses_static |= level == "static"
