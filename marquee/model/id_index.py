"""Id index in memory-mapped arrays, which processes share (each would have to build its own dictionary)."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from marquee.array_types import Int32Array, UInt64Array
from marquee.model.string_table import StringTable


@dataclass(frozen=True, eq=False)
class IdIndex:
    """Sorted hashes of ids, for looking up inner ids by binary search.

    Ids with equal hashes are adjacent, and a lookup compares the ids themselves, so collisions are harmless.

    >>> IdIndex.from_strings(StringTable.from_strings(["ann", "bob"])).inner_id("bob")
    1
    """

    strings: StringTable
    keys: UInt64Array  # (n,), ascending hashes
    order: Int32Array  # (n,): `keys[i]` is the hash of `strings[order[i]]`

    @classmethod
    def from_strings(cls, strings: StringTable) -> "IdIndex":
        """Hash and sort the ids."""
        keys = np.fromiter((hash_id(string) for string in strings), np.uint64, len(strings))
        order = np.argsort(keys, kind="stable").astype(np.int32)
        return cls(strings, keys[order], order)

    def inner_id(self, external_id: str) -> int | None:
        """Return the inner id, or None if the id is unknown; the last one if an id occurs twice."""
        match = None
        for position in self._positions(hash_id(external_id)):
            inner_id = int(self.order[position])
            if self.strings[inner_id] == external_id:
                match = inner_id
        return match

    def _positions(self, key: int) -> Iterator[int]:
        """Yield the positions of a hash in `keys`."""
        keys = self._keys_view
        position = bisect_left(keys, key)
        while position < len(keys) and keys[position] == key:
            yield position
            position += 1

    @cached_property
    def _keys_view(self) -> memoryview:
        """The keys as a memoryview, whose items are Python integers: faster to read than NumPy scalars."""
        return memoryview(self.keys)  # type: ignore[arg-type]  # an array is a buffer


def hash_id(external_id: str) -> int:
    """Return the 64-bit BLAKE2b hash of an id, which is the same on every machine."""
    return int.from_bytes(blake2b(external_id.encode(), digest_size=8).digest(), "little")
