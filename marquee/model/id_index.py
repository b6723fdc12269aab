"""Ids looked up in arrays that processes share, instead of in a dictionary that each of them builds."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from marquee.arrays import Integers, Keys
from marquee.model.string_table import StringTable


@dataclass(frozen=True, eq=False)
class IdIndex:
    """The numbers of ids, by a sorted table of their hashes: a million users cost no memory a process.

    Two ids may have one hash (one pair in thirty million million): both stand side by side, and the
    strings themselves decide.
    """

    strings: StringTable
    keys: Keys  # (n,) ascending
    order: Integers  # (n,): `keys[i]` is the hash of `strings[order[i]]`

    @classmethod
    def of(cls, strings: StringTable) -> "IdIndex":
        """Hash and sort. Of equal ids the later one is found, as in a dictionary."""
        keys = np.fromiter((key_of(string) for string in strings), np.uint64, len(strings))
        order = np.argsort(keys, kind="stable").astype(np.int32)
        return cls(strings, keys[order], order)

    def number(self, identity: str) -> int | None:
        """The number of an id, or None."""
        found = None
        for position in self._positions(key_of(identity)):
            number = int(self.order[position])
            if self.strings[number] == identity:
                found = number
        return found

    def _positions(self, key: int) -> Iterator[int]:
        keys = self._view
        position = bisect_left(keys, key)
        while position < len(keys) and keys[position] == key:
            yield position
            position += 1

    @cached_property
    def _view(self) -> memoryview:
        """The keys as Python reads them fastest: no NumPy scalar an item."""
        return memoryview(self.keys)  # type: ignore[arg-type]  # an array is a buffer


def key_of(identity: str) -> int:
    """64 bits of an id's BLAKE2b, the same on every machine."""
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little")
