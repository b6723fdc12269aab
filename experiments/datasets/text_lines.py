"""Reads the lines of a text file, plain or gzip; errors name the line of an invalid byte."""

import codecs
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from experiments.datasets.archive_extraction import MIN_BYTES_OF_RATIO_CHECK, ArchiveLimits
from marquee.errors import DataError

BLOCK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class TextFileStats:
    """First line of a text file, and numbers of its lines and quotation marks."""

    first_line: str
    n_lines: int
    n_quotes: int  # quotation marks


@contextmanager
def open_decompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, and decompress it if it is gzip.

    Raises:
        DataError: the file is empty, is damaged gzip, or has the suffix .gz without being gzip.
    """
    with path.open("rb") as file:
        magic = file.read(2)
    if not magic:
        raise DataError(f"{path} is empty (0 bytes)")
    if magic != GZIP_MAGIC:
        if path.suffix == ".gz":
            raise DataError(f"{path} has the suffix .gz but is not gzip; rename it or compress it")
        with path.open("rb") as stream:
            yield stream
        return
    try:
        with gzip.open(path) as decompressed:
            yield cast(IO[bytes], decompressed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged gzip ({error}); download or compress it again") from None


def validate_and_count_lines(path: Path, encoding: str) -> TextFileStats:
    """Check the encoding of a text file, and count its lines and quotation marks.

    Raises:
        DataError: the file is empty, damaged, or not text in this encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    n_bytes, n_newlines, n_quotes, last_byte = 0, 0, 0, b""
    limit = max(MIN_BYTES_OF_RATIO_CHECK, ArchiveLimits().ratio * path.stat().st_size)
    with open_decompressed(path) as stream:
        while block := stream.read(BLOCK_BYTES):
            _check_decodes(path, decoder, block, n_newlines, encoding)
            n_bytes += len(block)
            n_newlines += block.count(b"\n")
            n_quotes += block.count(b'"')
            last_byte = block[-1:]
            if n_bytes > limit:
                raise DataError(
                    f"{path} decompresses to more than {ArchiveLimits().ratio:g} times its size; "
                    f"decompress it yourself if you trust it"
                )
    _check_decodes(path, decoder, b"", n_newlines, encoding)
    if n_bytes == 0:
        raise DataError(f"{path} is empty (a gzip file with 0 bytes of content)")
    _, first_line = next(iter_numbered_lines(path, encoding), (1, ""))
    return TextFileStats(first_line, n_newlines + (last_byte != b"\n"), n_quotes)


def iter_numbered_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number from 1, without its line end and without a byte order mark."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with open_decompressed(path) as stream, io.TextIOWrapper(stream, encoding) as text:
        for number, line in enumerate(text, start=1):
            yield number, line.removesuffix("\n")


def read_lines_by_number(path: Path, encoding: str, numbers: Collection[int]) -> dict[int, str]:
    """Return the text of the lines with these numbers."""
    selected = set(numbers)
    return {number: line for number, line in iter_numbered_lines(path, encoding) if number in selected}


def _check_decodes(
    path: Path, decoder: codecs.IncrementalDecoder, block: bytes, n_newlines: int, encoding: str
) -> None:
    """Check the next block of a file, which follows `n_newlines` line ends; an empty block is the end.

    Raises:
        DataError: the block has a NUL byte, or a byte that is invalid in the encoding.
    """
    data, position = block, block.find(b"\0")
    try:
        decoder.decode(block[: position if position >= 0 else None], final=not block)
    except UnicodeDecodeError as error:
        data, position = error.object, error.start
    if position >= 0:
        line = n_newlines + data.count(b"\n", 0, position) + 1
        raise DataError(
            f"{path} is not {encoding.upper()} text: invalid byte 0x{data[position]:02x} in line {line}; "
            f"save the table as UTF-8"
        )
