"""Rules of the shop, compiled for the items of one model."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from marquee.array_types import BoolArray, Float64Array
from marquee.model.fitted_model import FittedModel
from marquee.model.item_attributes import ItemAttributes, Values
from service.recommendation.item_similarities import ItemSimilarities
from service.recommendation.shop_rules import (
    MAX_FACTOR,
    MIN_FACTOR,
    AttributeFilter,
    Boost,
    Cap,
    ShopRules,
)


@dataclass(frozen=True, eq=False)
class CompiledCaps:
    """Caps by key: each combination of a cap and a value of its attribute is a key."""

    keys_by_item: Sequence[tuple[int, ...]]  # keys that count an item, by inner id
    limits: Sequence[int]  # by key
    attributes: Sequence[str]  # by key


@dataclass(frozen=True, eq=False)
class CompiledRules:
    """Rules as arrays and inner ids.

    Attributes:
        attributes: attributes of the items: those of the model, with the values of the rules.
        passes_filters: items that pass all filters, shape (n_items,); None without filters.
        pins: zero-based position and inner id of each pinned item, by position.
        factors: product of the boosts of each item, shape (n_items,); None without boosts.
        diversity: strength of the diversity re-ranking; 0 without it.
        similarities: similarities of the items, if there is diversity re-ranking.
        caps: caps; None without any.
        problems: rules that do not fit the model, each with the name of its field. They are left out.
    """

    attributes: ItemAttributes
    passes_filters: BoolArray | None = None
    pins: tuple[tuple[int, int], ...] = ()
    factors: Float64Array | None = None
    diversity: float = 0.0
    similarities: ItemSimilarities | None = None
    caps: CompiledCaps | None = None
    problems: tuple[str, ...] = ()

    @property
    def reorders(self) -> bool:
        """True if the rules change the order of the items, so that a stored list is not enough."""
        return self.factors is not None or self.similarities is not None


def compile_rules(model: FittedModel, rules: ShopRules) -> CompiledRules:
    """Compile rules for a model; rules that do not fit it are left out and described in `problems`.

    Rules on items that the model does not contain are ignored, because the file may be newer than the model.
    """
    return _Compiler(model, rules).compile()


@dataclass
class _Compiler:
    model: FittedModel
    rules: ShopRules
    problems: list[str] = field(default_factory=list)

    def compile(self) -> CompiledRules:
        rules = self.rules
        attributes = self.model.item_attributes
        if rules.attributes:
            attributes = attributes.replace_values(self._inner_values(rules.attributes))
        passes_filters = self._compile_filters(attributes)
        caps = self._compile_caps(attributes)
        arrays = self.model.arrays
        similarities = (
            ItemSimilarities.from_similar_items(arrays.similar_items, arrays.similarities)
            if rules.diversity
            else None
        )
        return CompiledRules(
            attributes,
            passes_filters,
            pins=self._compile_pins(passes_filters, caps),
            factors=self._compile_boosts(attributes),
            diversity=rules.diversity,
            similarities=similarities,
            caps=caps,
            problems=tuple(self.problems),
        )

    def _inner_values(
        self, values: Mapping[str, Mapping[str, str | tuple[str, ...]]]
    ) -> dict[str, dict[int, Values]]:
        return {
            name: {
                item: [each for each in ((value,) if isinstance(value, str) else value) if each]
                for item_id, value in values_by_item.items()
                if (item := self.model.inner_item_id(item_id)) is not None
            }
            for name, values_by_item in values.items()
        }

    def _known(self, attributes: ItemAttributes, rule: AttributeFilter | Boost | Cap, path: str) -> bool:
        """Return True if the items have the attribute of a rule; otherwise note the problem."""
        name = rule.attribute
        if name is None or name in attributes.items_by_value:
            return True
        expected = ", ".join(attributes.names)
        self.problems.append(f"{path}.attribute: no item has the attribute {name} (expected {expected})")
        return False

    def _compile_filters(self, attributes: ItemAttributes) -> BoolArray | None:
        passes, hidden = np.ones(attributes.n_items, dtype=bool), self._find_hidden()
        for number, rule in enumerate(self.rules.filters):
            if not self._known(attributes, rule, f"filters.{number}"):
                continue
            remaining = passes & ~attributes.mask(rule.attribute, rule.none_of)
            if rule.any_of:
                remaining &= attributes.mask(rule.attribute, rule.any_of)
            if (remaining & ~hidden).any():
                passes = remaining
            else:
                self.problems.append(f"filters.{number}: no item passes this filter and those before it")
        return None if passes.all() else passes

    def _find_hidden(self) -> BoolArray:
        """Return True for each hidden item, shape (n_items,)."""
        hidden = np.zeros(len(self.model.arrays.items), dtype=bool)
        for item_id in self.rules.hidden:
            if (item := self.model.inner_item_id(item_id)) is not None:
                hidden[item] = True
        return hidden

    def _compile_boosts(self, attributes: ItemAttributes) -> Float64Array | None:
        factors = np.ones(attributes.n_items)
        for number, rule in enumerate(self.rules.boosts):
            if not self._known(attributes, rule, f"boosts.{number}"):
                continue
            boosted = factors.copy()
            if rule.attribute is not None and rule.value is not None:
                boosted[attributes.mask(rule.attribute, (rule.value,))] *= rule.factor
            elif rule.item is not None and (item := self.model.inner_item_id(rule.item)) is not None:
                boosted[item] *= rule.factor
            if boosted.min() >= MIN_FACTOR and boosted.max() <= MAX_FACTOR:
                factors = boosted
            else:
                limits = f"{MIN_FACTOR:g} to {MAX_FACTOR:g}"
                problem = f"with the boosts before it, the factor of an item is not from {limits}"
                self.problems.append(f"boosts.{number}.factor: {problem}")
        return None if (factors == 1).all() else factors

    def _compile_caps(self, attributes: ItemAttributes) -> CompiledCaps | None:
        keys: list[list[int]] = [[] for _ in range(attributes.n_items)]
        limits, names = list[int](), list[str]()
        for number, rule in enumerate(self.rules.caps):
            if not self._known(attributes, rule, f"caps.{number}"):
                continue
            for value, items in attributes.items_by_value[rule.attribute].items():
                if rule.value is None or value == rule.value:
                    for item in items.tolist():
                        keys[item].append(len(limits))
                    limits.append(rule.at_most)
                    names.append(rule.attribute)
        return CompiledCaps([tuple(each) for each in keys], limits, names) if limits else None

    def _compile_pins(
        self, passes_filters: BoolArray | None, caps: CompiledCaps | None
    ) -> tuple[tuple[int, int], ...]:
        counts = Counter[int]()
        return tuple(sorted(self._valid_pins(passes_filters, caps, counts)))

    def _valid_pins(
        self, passes_filters: BoolArray | None, caps: CompiledCaps | None, counts: Counter[int]
    ) -> Iterator[tuple[int, int]]:
        for number, pin in enumerate(self.rules.pins):
            item = self.model.inner_item_id(pin.item)
            if item is None:
                continue
            keys = caps.keys_by_item[item] if caps else ()
            if passes_filters is not None and not passes_filters[item]:
                self.problems.append(f"pins.{number}.item: {pin.item} does not pass the filters")
            elif caps and (full := [key for key in keys if counts[key] >= caps.limits[key]]):
                name = caps.attributes[full[0]]
                self.problems.append(f"pins.{number}.item: {pin.item} exceeds the cap on {name}")
            else:
                counts.update(keys)
                yield pin.position - 1, item
