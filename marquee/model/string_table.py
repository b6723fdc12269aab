"""String table: strings in memory-mapped arrays, which load instantly and are shared between processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from marquee.array_types import Int64Array, UInt8Array


@dataclass(frozen=True, eq=False)
class StringTable(Sequence[str]):
    """Immutable sequence of strings, concatenated in UTF-8: string i is `text[offsets[i]:offsets[i + 1]]`.

    >>> table = StringTable.from_strings(["Alien", "Amélie"])
    >>> table[1], table.positions_by_string()
    ('Amélie', {'Alien': 0, 'Amélie': 1})
    """

    text: UInt8Array  # (n_bytes,)
    offsets: Int64Array  # (n + 1,)

    @classmethod
    def from_strings(cls, strings: Sequence[str]) -> "StringTable":
        """Encode strings."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.text[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()

    def slice(self, start: int, stop: int) -> list[str]:
        """Return the strings from `start` to before `stop`, without reading others."""
        offsets = self.offsets[start : stop + 1]
        text = self.text[offsets[0] : offsets[-1]].tobytes()
        ends = (offsets - offsets[0]).tolist()
        return [text[begin:end].decode() for begin, end in pairwise(ends)]

    def __iter__(self) -> Iterator[str]:
        text, offsets = self.text.tobytes(), self.offsets.tolist()
        return (text[start:end].decode() for start, end in pairwise(offsets))

    def positions_by_string(self) -> dict[str, int]:
        """Return the position of each string; the last one if a string occurs twice."""
        return {string: position for position, string in enumerate(self)}
