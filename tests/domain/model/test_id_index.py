"""The index of ids finds what a dictionary would find, also where two ids have one hash."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.model import id_index
from marquee.model.id_index import IdIndex, key_of
from marquee.model.string_table import StringTable

TEXTS = st.text(st.characters(codec="utf-8"))


@given(st.lists(TEXTS), TEXTS)
def test_an_index_finds_what_a_dictionary_finds(strings: list[str], other: str) -> None:
    index = IdIndex.of(StringTable.of(strings))
    numbers = {string: number for number, string in enumerate(strings)}
    for string in (*strings, other):
        assert index.number(string) == numbers.get(string)


def test_ids_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "key_of", len)
    index = IdIndex.of(StringTable.of(["ab", "cd", "e"]))
    assert [index.number(identity) for identity in ("ab", "cd", "e", "xy", "z")] == [0, 1, 2, None, None]


def test_keys_ascend_and_are_the_same_everywhere() -> None:
    index = IdIndex.of(StringTable.of([f"u{number}" for number in range(1000)]))
    assert (np.diff(index.keys.astype(object)) > 0).all()
    assert key_of("ann") == 0xA5F323BF6ADF3A8D
