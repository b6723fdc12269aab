"""The id index finds the same inner ids as a dictionary, even if hashes collide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.model import id_index
from marquee.model.id_index import IdIndex, hash_id
from marquee.model.string_table import StringTable

TEXTS = st.text(st.characters(codec="utf-8"))


@given(st.lists(TEXTS), TEXTS)
def test_index_finds_the_inner_ids_of_a_dictionary(ids: list[str], other: str) -> None:
    index = IdIndex.from_strings(StringTable.from_strings(ids))
    inner_ids = {external_id: inner_id for inner_id, external_id in enumerate(ids)}
    for external_id in (*ids, other):
        assert index.inner_id(external_id) == inner_ids.get(external_id)


def test_colliding_hashes_resolve_to_different_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "hash_id", len)
    index = IdIndex.from_strings(StringTable.from_strings(["ab", "cd", "e"]))
    assert [index.inner_id(text) for text in ("ab", "cd", "e", "xy", "z")] == [0, 1, 2, None, None]


def test_keys_are_sorted_and_hashes_are_stable() -> None:
    index = IdIndex.from_strings(StringTable.from_strings([f"u{number}" for number in range(1000)]))
    assert (np.diff(index.keys.astype(object)) > 0).all()
    assert hash_id("ann") == 0xA5F323BF6ADF3A8D
