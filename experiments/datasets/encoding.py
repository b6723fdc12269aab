"""The lines of a text file: plain or gzip, its encoding, and where it is not text at all."""

import codecs
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from experiments.datasets.archive import FREE_OF_RATIO, Limits
from marquee.errors import DataError

BLOCK = 1 << 20
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Survey:
    """What one pass over a file tells: its first line, and how many lines and quotation marks it has."""

    first: str
    lines: int
    quotes: int


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where it is gzip.

    Raises:
        DataError: it is empty, or its gzip is damaged.
    """
    with path.open("rb") as plain:
        start = plain.read(2)
    if not start:
        raise DataError(f"{path} is empty (0 bytes)")
    if start != GZIP:
        if path.suffix == ".gz":
            raise DataError(f"{path} is called .gz but is not gzip")
        with path.open("rb") as stream:
            yield stream
        return
    try:
        with gzip.open(path) as unpacked:
            yield cast(IO[bytes], unpacked)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged gzip: {error}") from None


def survey(path: Path, encoding: str) -> Survey:
    """Read the whole file once, so that whatever reads it next meets text.

    Raises:
        DataError: it is empty, damaged, or not text in this encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    read, lines, quotes, last = 0, 0, 0, b""
    most = max(FREE_OF_RATIO, Limits().ratio * path.stat().st_size)
    with opened(path) as stream:
        while block := stream.read(BLOCK):
            _decode(path, decoder, block, lines)
            read += len(block)
            lines += block.count(b"\n")
            quotes += block.count(b'"')
            last = block[-1:]
            if read > most:
                raise DataError(f"{path} unpacks to more than {Limits().ratio:g} times its size")
    _decode(path, decoder, b"", lines)
    if read == 0:
        raise DataError(f"{path} holds no bytes behind its gzip header")
    return Survey(next(numbered(path, encoding), (1, ""))[1], lines + (last != b"\n"), quotes)


def numbered(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Every line with its number from 1, without its line end and without a byte order mark."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with opened(path) as stream, io.TextIOWrapper(stream, encoding) as text:
        for number, line in enumerate(text, start=1):
            yield number, line.removesuffix("\n")


def texts(path: Path, encoding: str, numbers: Collection[int]) -> dict[int, str]:
    """The lines with these numbers, as they stand in the file."""
    wanted = set(numbers)
    return {number: line for number, line in numbered(path, encoding) if number in wanted}


def _decode(path: Path, decoder: codecs.IncrementalDecoder, block: bytes, lines: int) -> None:
    """Decode and forget; a byte that is no text is named with its line."""
    data, at = block, block.find(b"\0")
    try:
        decoder.decode(block[: at if at >= 0 else None], final=not block)
    except UnicodeDecodeError as error:
        data, at = error.object, error.start
    if at >= 0:
        line = lines + data.count(b"\n", 0, at) + 1
        raise DataError(f"{path} is not text: byte 0x{data[at]:02x} in line {line}; save the table as UTF-8")
