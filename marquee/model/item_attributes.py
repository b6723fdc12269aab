"""Attributes of the items of a catalog, such as series or language, beside titles and genres.

An item has any number of values of each attribute. In a table they are separated by "|", as genres are. In a
model, the attributes of an item are one string: a JSON object of the attributes that it has.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marquee.array_types import BoolArray, Int32Array
from marquee.model.genre_affinity import GENRE_SEPARATOR
from marquee.model.string_table import StringTable

GENRES = "genres"  # name of the attribute that every catalog has
# Parameters of a request and columns of tables, which no attribute may be named after.
RESERVED_NAMES = frozenset(
    {"n", "exclude", "genre", "predicted_ratings", "user", "item", "title", "line", "raw", "parse_error"}
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
Values = Sequence[str]


@dataclass(frozen=True, eq=False)
class ItemAttributes:
    """Items by attribute and value.

    Attributes:
        n_items: number of items in the catalog.
        items_by_value: inner ids of the items that have a value, ascending, by attribute and value.
    """

    n_items: int
    items_by_value: Mapping[str, Mapping[str, Int32Array]]

    @classmethod
    def from_values(cls, n_items: int, values: Mapping[str, Mapping[int, Values]]) -> "ItemAttributes":
        """Collect attributes.

        Args:
            n_items: number of items in the catalog.
            values: values of each item that has any, by attribute and inner id.
        """
        return cls(n_items, {name: _invert(values_by_item) for name, values_by_item in values.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, sorted."""
        return tuple(sorted(self.items_by_value))

    def mask(self, name: str, values: Iterable[str]) -> BoolArray:
        """Return True for each item that has one of the values of an attribute, shape (n_items,)."""
        mask = np.zeros(self.n_items, dtype=bool)
        for value in values:
            if (items := self.items_by_value[name].get(value)) is not None:
                mask[items] = True
        return mask

    def replace_values(self, values: Mapping[str, Mapping[int, Values]]) -> "ItemAttributes":
        """Return these attributes with other values for some items, by attribute and inner id."""
        replaced = {
            name: _invert(_restore(self.items_by_value.get(name, {})) | dict(values_by_item))
            for name, values_by_item in values.items()
        }
        return ItemAttributes(self.n_items, {**self.items_by_value, **replaced})


def find_attribute_name_problem(name: str) -> str | None:
    """Return what is wrong with the name of an attribute, or None if it is valid.

    >>> find_attribute_name_problem("genre")
    "an attribute must not be named 'genre', which has another meaning"
    """
    if name in RESERVED_NAMES:
        return f"an attribute must not be named {name!r}, which has another meaning"
    if not _NAME.fullmatch(name):
        return f"the name of an attribute must consist of letters, digits, '-' and '_' (got {name[:64]!r})"
    return None


def encode_attributes(columns: Mapping[str, Sequence[str]]) -> StringTable | None:
    """Encode the attributes of all items, or return None if there are none.

    Args:
        columns: a text for each item, by attribute; an empty text means that the item has no value.

    >>> list(encode_attributes({"series": ["Alien", ""], "language": ["en", "fr"]}))
    ['{"language":"en","series":"Alien"}', '{"language":"fr"}']
    """
    if not columns:
        return None
    names = sorted(columns)
    rows = zip(*(columns[name] for name in names), strict=True)
    return StringTable.from_strings(
        [
            json.dumps(
                {name: text for name, text in zip(names, row, strict=True) if text},
                ensure_ascii=False,
                separators=(",", ":"),
            )
            for row in rows
        ]
    )


def decode_attributes(genres: Sequence[str], table: StringTable | None) -> ItemAttributes:
    """Return the genres and the attributes of a model.

    Args:
        genres: genres of each item, separated by "|".
        table: result of `encode_attributes`.

    Raises:
        ValueError: a string of the table is not a JSON object of strings.
    """
    texts: dict[str, dict[int, Values]] = {
        GENRES: {item: split_values(text) for item, text in enumerate(genres) if text}
    }
    for item, text in enumerate(table or ()):
        for name, value in decode_item(text).items():
            texts.setdefault(name, {})[item] = split_values(value)
    return ItemAttributes.from_values(len(genres), texts)


def decode_item(text: str) -> dict[str, str]:
    """Return the attributes of one item.

    Raises:
        ValueError: the text is not a JSON object of strings.
    """
    tree = json.loads(text)
    if not isinstance(tree, dict) or not all(isinstance(value, str) for value in tree.values()):
        raise ValueError(f"attributes of an item must be a JSON object of strings (got {text[:40]})")
    return tree


def split_values(text: str) -> Values:
    """Return the values in a cell of a table.

    >>> split_values("Drama|War")
    ['Drama', 'War']
    """
    return [value for value in text.split(GENRE_SEPARATOR) if value]


def _invert(values_by_item: Mapping[int, Values]) -> dict[str, Int32Array]:
    items: dict[str, list[int]] = {}
    for item, values in sorted(values_by_item.items()):
        for value in dict.fromkeys(values):
            items.setdefault(value, []).append(item)
    return {value: np.array(group, dtype=np.int32) for value, group in items.items()}


def _restore(items_by_value: Mapping[str, Int32Array]) -> dict[int, Values]:
    values: dict[int, list[str]] = {}
    for value, items in items_by_value.items():
        for item in items.tolist():
            values.setdefault(item, []).append(value)
    return dict(values)
