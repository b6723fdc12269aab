"""Many strings as two arrays, so that a million ids open in no time and are shared by processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from marquee.arrays import Bytes, Indices


@dataclass(frozen=True, eq=False)
class StringTable(Sequence[str]):
    """Strings laid end to end in UTF-8; string i is `text[offsets[i]:offsets[i + 1]]`."""

    text: Bytes  # (total bytes,)
    offsets: Indices  # (n + 1,)

    @classmethod
    def of(cls, strings: Sequence[str]) -> "StringTable":
        """Encode strings."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # a slice is never asked for
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.text[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        text, ends = self.text.tobytes(), self.offsets.tolist()
        return (text[start:end].decode() for start, end in pairwise(ends))

    def numbers(self) -> dict[str, int]:
        """The number of each string."""
        return {string: number for number, string in enumerate(self)}
