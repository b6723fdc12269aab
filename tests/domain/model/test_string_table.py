"""String tables behave like sequences of strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.model.string_table import StringTable


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_table_contains_the_encoded_strings(strings: list[str]) -> None:
    table = StringTable.from_strings(strings)
    assert list(table) == strings
    assert [table[position] for position in range(len(table))] == strings
    assert set(table.positions_by_string()) == set(strings)
    start, stop = len(strings) // 3, len(strings) - len(strings) // 3
    assert table.slice(start, stop) == strings[start:stop]


@pytest.mark.parametrize("index", [-1, 2])
def test_index_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        StringTable.from_strings(["a", "b"])[index]
