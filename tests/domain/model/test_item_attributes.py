"""Attributes of items in a model: what is encoded is decoded again, and damage is reported."""

from pathlib import Path

import pytest

from marquee.errors import ModelError
from marquee.model.fitted_model import load_model
from marquee.model.item_attributes import (
    ItemAttributes,
    decode_attributes,
    encode_attributes,
    find_attribute_name_problem,
)
from marquee.model.string_table import StringTable
from tests.support.sample_replica import write_sample_model

GENRES = ["Drama|War", "", "War"]


def items_by_value(attributes: ItemAttributes, name: str) -> dict[str, list[int]]:
    return {value: items.tolist() for value, items in attributes.items_by_value[name].items()}


def test_encoded_attributes_are_decoded_again() -> None:
    table = encode_attributes({"series": ["Alien", "", "Ring|Alien|Alien"], "language": ["", "", ""]})
    attributes = decode_attributes(GENRES, table)
    assert attributes.names == ("genres", "series")  # no item has a language
    assert items_by_value(attributes, "genres") == {"Drama": [0], "War": [0, 2]}
    assert items_by_value(attributes, "series") == {"Alien": [0, 2], "Ring": [2]}
    assert attributes.mask("series", ("Ring", "no such value")).tolist() == [False, False, True]
    assert not attributes.mask("series", ("no such value",)).any()


def test_items_without_attributes_need_no_table() -> None:
    assert encode_attributes({}) is None
    assert decode_attributes(GENRES, None).names == ("genres",)


def test_replaced_values_leave_those_of_other_items() -> None:
    attributes = ItemAttributes.from_values(3, {"series": {0: ["Alien"], 1: ["Alien"]}})
    replaced = attributes.replace_values({"series": {1: ["Ring"], 2: []}, "mood": {0: ["dark"]}})
    assert items_by_value(replaced, "series") == {"Alien": [0], "Ring": [1]}
    assert items_by_value(replaced, "mood") == {"dark": [0]}
    assert items_by_value(attributes, "series") == {"Alien": [0, 1]}


@pytest.mark.parametrize("name", ["n", "genre", "item", "1st", "", "a b", "x" * 65])
def test_reserved_or_unusual_name_is_a_problem(name: str) -> None:
    assert find_attribute_name_problem(name) is not None
    assert find_attribute_name_problem("age-rating_2") is None


@pytest.mark.parametrize("text", ["", "[]", '{"series": 1}'])
def test_damaged_attributes_are_reported(tmp_path: Path, text: str) -> None:
    folder = write_sample_model(tmp_path / "fitted", attributes=StringTable.from_strings([text] * 6))
    with pytest.raises(ModelError, match=r"attributes_text\.npy is damaged"):
        _ = load_model(folder).item_attributes


def test_table_of_attributes_must_have_a_row_for_each_item(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"attributes_offsets\.npy has shape"):
        write_sample_model(tmp_path / "fitted", attributes=StringTable.from_strings(["{}"]))
