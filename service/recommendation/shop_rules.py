"""Rules of the shop: what the operator shows, beside the recommender's own ranking.

The rules are a JSON file; every key is optional:

    {
      "hidden": ["1193"],
      "available": {"661": {"from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}},
      "static": ["2858", "260"],
      "attributes": {"series": {"260": "Star Wars", "1196": ["Star Wars"]}},
      "filters": [{"attribute": "language", "any_of": ["en", "de"]}, {"attribute": "age", "none_of": ["18"]}],
      "pins": [{"item": "2858", "position": 1}],
      "boosts": [{"item": "593", "factor": 2}, {"attribute": "genres", "value": "Horror", "factor": 0.5}],
      "diversity": 0.3,
      "caps": [{"attribute": "genres", "at_most": 4}, {"attribute": "series", "at_most": 1}]
    }

`service.recommendation.availability` describes the first three keys, and docs/serving.md the others.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from marquee.errors import ConfigError
from marquee.model.item_attributes import GENRES, find_attribute_name_problem
from service.recommendation.availability import AvailabilityPolicy, Rule

MAX_POSITION = 100  # as long as a list can be
MIN_FACTOR, MAX_FACTOR = 1e-6, 1e6  # of one boost, and of all boosts of an item together

Factor = Annotated[float, Field(ge=MIN_FACTOR, le=MAX_FACTOR, allow_inf_nan=False)]


class AttributeFilter(Rule):
    """Shows only items that have one of the values in `any_of`, if there are any, and none in `none_of`."""

    attribute: str
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if not self.any_of and not self.none_of:
            raise ValueError("any_of or none_of must name a value")
        return self


class Pin(Rule):
    """Puts an item at a position of every list; 1 is the first."""

    item: str
    position: Annotated[int, Field(ge=1, le=MAX_POSITION)]


class Boost(Rule):
    """Multiplies the scores of an item, or of all items with a value of an attribute, above the lowest."""

    factor: Factor
    item: str | None = None
    attribute: str | None = None
    value: str | None = None

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        has_value = self.attribute is not None and self.value is not None
        if (self.item is None) != has_value or (self.attribute is None) != (self.value is None):
            raise ValueError("a boost must name either an item, or an attribute and a value")
        return self


class Cap(Rule):
    """Shows at most a number of items with the same value of an attribute in a list."""

    attribute: str
    value: str | None = None  # None: each value of the attribute
    at_most: Annotated[int, Field(ge=1)]


class ShopRules(AvailabilityPolicy):
    """Content of the file with the rules of the shop."""

    attributes: Mapping[str, Mapping[str, str | tuple[str, ...]]] = {}  # values by attribute and item id
    filters: tuple[AttributeFilter, ...] = ()
    pins: tuple[Pin, ...] = ()
    boosts: tuple[Boost, ...] = ()
    diversity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    caps: tuple[Cap, ...] = ()


def read_shop_rules(path: Path) -> ShopRules:
    """Read the operator's rules.

    Raises:
        ConfigError: the file cannot be read, is invalid, or its rules contradict each other; the message
            names the field.
    """
    try:
        rules = ShopRules.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}") from None
    for problem in find_contradictions(rules):
        raise ConfigError(f"{path}: {problem}")
    return rules


def find_contradictions(rules: ShopRules) -> Iterator[str]:
    """Yield the contradictions that do not depend on a model, each with the name of its field."""
    for name in rules.attributes:
        problem = "the model has the genres" if name == GENRES else find_attribute_name_problem(name)
        if problem is not None:
            yield f"attributes.{name}: {problem}"
    for item, period in rules.available.items():
        if period.from_ is not None and period.until is not None and period.from_ >= period.until:
            yield f"available.{item}.until: must be later than from"
    positions, items = Counter[int](), Counter[str]()
    for number, pin in enumerate(rules.pins):
        if pin.item in rules.hidden:
            yield f"pins.{number}.item: {pin.item} is hidden"
        if positions[pin.position]:
            yield f"pins.{number}.position: another item is pinned at position {pin.position}"
        if items[pin.item]:
            yield f"pins.{number}.item: {pin.item} is pinned at another position"
        positions[pin.position] += 1
        items[pin.item] += 1
