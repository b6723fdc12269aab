"""Writers of lists for many users, as Parquet, CSV or JSON lines.

All formats have a row for each recommended item, with the columns `user`, `rank` (from 1), `item`, `score`
(missing where the item was not scored) and `level`, the fallback level of the user's list.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import isnan
from typing import Any, BinaryIO, ClassVar, Protocol

import numpy as np

from marquee.array_types import AnyArray
from marquee.top_n import PADDING
from service.recommendation.list_blocks import ListBlock
from service.recommendation.list_selection import FALLBACK_LEVELS

COLUMNS = ("user", "rank", "item", "score", "level")
NEEDS_QUOTES = re.compile(r'[",\r\n]')


class ListWriter(Protocol):
    """Writer of one file or stream."""

    def write(self, lists: ListBlock) -> None:
        """Write the lists of a block of users."""

    def finish(self) -> None:
        """Write what belongs at the end, after the last block."""

    def abort(self) -> None:
        """Release resources after an error; what was written is incomplete."""


class TextWriter:
    """Base class of text formats: UTF-8, a line for each row. Subclasses define the text around values."""

    header: ClassVar[str]
    user_pattern: ClassVar[str]  # start of a line, up to the rank
    item_pattern: ClassVar[str]  # from the rank to the score
    level_pattern: ClassVar[str]  # end of a line, after the score
    missing_score: ClassVar[str]

    def __init__(self, file: BinaryIO, item_ids: Sequence[str]) -> None:
        self._file = file
        self._items = [self.item_pattern % self.encode_id(item) for item in item_ids]
        self._level_ends = [self.level_pattern % level for level in FALLBACK_LEVELS]
        file.write(self.header.encode())

    def write(self, lists: ListBlock) -> None:
        """Write the lists of a block of users."""
        self._file.write("".join(self._iter_lines(lists)).encode())

    def finish(self) -> None:
        """Do nothing: the lines are complete."""

    def abort(self) -> None:
        """Do nothing: there are no resources."""

    def _iter_lines(self, lists: ListBlock) -> Iterator[str]:
        rows = (lists.users.ids, lists.items.tolist(), lists.scores.tolist(), lists.levels.tolist())
        for user, items, scores, level in zip(*rows, strict=True):
            start, end = self.user_pattern % self.encode_id(user), self._level_ends[level]
            for rank, (item, score) in enumerate(zip(items, scores, strict=True), 1):
                if item == PADDING:
                    break
                text = self.missing_score if isnan(score) else f"{score:.6g}"
                yield f"{start}{rank}{self._items[item]}{text}{end}"

    @staticmethod
    def encode_id(text: str) -> str:
        """Return an id as it is written in this format."""
        raise NotImplementedError


class CsvWriter(TextWriter):
    """CSV with a header (RFC 4180, but lines end with a line feed). A missing score is an empty field."""

    header = ",".join(COLUMNS) + "\n"
    user_pattern, item_pattern, level_pattern = "%s,", ",%s,", ",%s\n"
    missing_score = ""

    @staticmethod
    def encode_id(text: str) -> str:
        """Return an id, in quotes if it contains a comma, a quote or a line break."""
        return '"' + text.replace('"', '""') + '"' if NEEDS_QUOTES.search(text) else text


class JsonLinesWriter(TextWriter):
    """A JSON object in each line."""

    header = ""
    user_pattern, item_pattern, level_pattern = (
        '{"user":%s,"rank":',
        ',"item":%s,"score":',
        ',"level":"%s"}\n',
    )
    missing_score = "null"

    @staticmethod
    def encode_id(text: str) -> str:
        """Return an id as a JSON string."""
        return json.dumps(text, ensure_ascii=False)


class ParquetWriter:
    """Parquet, with a row group for each block; columns of texts are encoded by dictionaries."""

    def __init__(self, file: BinaryIO, item_ids: Sequence[str]) -> None:
        import pyarrow as pa  # it takes as long to import as everything else together
        from pyarrow import parquet

        self._arrow, self._file = pa, file
        self._items, self._levels = pa.array(item_ids, pa.string()), pa.array(FALLBACK_LEVELS, pa.string())
        texts = pa.dictionary(pa.int32(), pa.string())
        types = (texts, pa.int32(), texts, pa.float32(), texts)
        self._schema = pa.schema(
            [
                pa.field(name, kind, nullable=name == "score")
                for name, kind in zip(COLUMNS, types, strict=True)
            ]
        )
        # Without the Arrow schema, readers get texts instead of categories.
        self._writer = parquet.ParquetWriter(file, self._schema, store_schema=False)

    def write(self, lists: ListBlock) -> None:
        """Write the lists of a block of users as a row group."""
        rows, columns = np.nonzero(lists.items != PADDING)
        if not len(rows):
            return
        pa, scores = self._arrow, lists.scores[rows, columns]
        users = pa.array(lists.users.ids, pa.string())
        arrays = (
            self._encode(rows, users),
            pa.array((columns + 1).astype(np.int32)),
            self._encode(lists.items[rows, columns], self._items),
            pa.array(scores, mask=np.isnan(scores)),
            self._encode(lists.levels[rows], self._levels),
        )
        self._writer.write_table(pa.table(arrays, schema=self._schema))

    def finish(self) -> None:
        """Write the footer, without which the file cannot be read."""
        self._writer.close()

    def abort(self) -> None:
        """Close the file first, so that the writer cannot make an incomplete file look complete."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError, ValueError):
            self._writer.close()

    def _encode(self, indices: AnyArray, dictionary: Any) -> Any:
        return self._arrow.DictionaryArray.from_arrays(indices.astype(np.int32), dictionary)


WRITERS: dict[str, Callable[[BinaryIO, Sequence[str]], ListWriter]] = {
    "parquet": ParquetWriter,
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
}
