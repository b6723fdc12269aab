"""Order of the candidates of one fallback level under boosts and diversity re-ranking."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain

import numpy as np

from marquee.array_types import BoolArray, Float32Array, Float64Array
from service.recommendation.compiled_rules import CompiledRules
from service.recommendation.ranking import (
    ScoredItem,
    boost_positions,
    boost_scores,
    iter_best,
    iter_diverse,
)


@dataclass(frozen=True, eq=False)
class RankedItems:
    """Items of a level that is a list, in the order of the boosts."""

    items: Sequence[int]
    scores: Sequence[float | None]
    priorities: Float64Array  # descending

    def __iter__(self) -> Iterator[ScoredItem]:
        return zip(self.items, self.scores, strict=True)


class LevelRanker:
    """Orders candidates by the rules of one model."""

    def __init__(self, rules: CompiledRules) -> None:
        self._factors = rules.factors
        self._similarities, self._diversity = rules.similarities, rules.diversity

    def rank_list(self, items: Sequence[int], scores: Sequence[float] | None = None) -> RankedItems:
        """Return the items of a list in the order of the boosts; without scores, the positions count."""
        factors = None if self._factors is None else self._factors[np.array(items, dtype=np.int32)]
        if scores is None:
            priorities = boost_positions(len(items), factors)
        else:
            priorities = np.asarray(boost_scores(np.array(scores, dtype=np.float64), factors))
        order = np.argsort(-priorities, kind="stable")
        rows = order.tolist()
        values = [None if scores is None else scores[row] for row in rows]
        return RankedItems([items[row] for row in rows], values, priorities[order])

    def iter_list(
        self,
        ranked: RankedItems,
        select: Callable[[Iterable[ScoredItem]], Iterable[ScoredItem]],
        selected: Set[int],
    ) -> Iterable[ScoredItem]:
        """Yield the items of a list that pass the filters, re-ranked for diversity.

        Args:
            ranked: the list.
            select: the filters: yields the candidates that pass.
            selected: items of the response, to which the consumer adds.
        """
        if self._similarities is None:
            return select(ranked)
        passing = {item for item, _ in select(ranked)}
        rows = [row for row, item in enumerate(ranked.items) if item in passing]
        items = np.array([ranked.items[row] for row in rows], dtype=np.int32)
        candidates = items, ranked.priorities[rows], [ranked.scores[row] for row in rows]
        return iter_diverse(*candidates, self._similarities, self._diversity, selected)

    def iter_scored(
        self, scores: Float32Array, allowed: BoolArray, n_expected: int, selected: Set[int]
    ) -> Iterator[ScoredItem]:
        """Return the allowed items of the catalog in the order of the rules; the first one is computed now.

        Args:
            scores: scores of all items, shape (n_items,).
            allowed: items that pass the filters, shape (n_items,).
            n_expected: number of items that are expected to be enough.
            selected: items of the response, to which the consumer adds.
        """
        priorities = boost_scores(scores, self._factors)
        if self._similarities is None:
            return _start(iter_best(priorities, scores, allowed, n_expected))
        items = np.flatnonzero(allowed)
        candidates = items, priorities[items], scores[items].tolist()
        return _start(iter_diverse(*candidates, self._similarities, self._diversity, selected))


def _start(items: Iterator[ScoredItem]) -> Iterator[ScoredItem]:
    """Compute the first item now, so that the time for it is measured."""
    first = next(items, None)
    return iter(()) if first is None else chain((first,), items)
