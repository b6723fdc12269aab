"""Archives: the wanted members, each to a plain name in the target folder, and nothing else.

An archive is not trusted. Its list is judged before a byte is written; its bytes are counted while
they are, whatever the headers say.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from marquee.errors import SourceError, one_line

BLOCK = 1 << 20
FREE_OF_RATIO = 1 << 20  # a tiny file may well shrink a thousandfold


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold: bytes unpacked, how many times its packed size, members."""

    bytes: int = 8 << 30
    ratio: float = 200.0
    members: int = 10_000


@dataclass(frozen=True)
class Member:
    """One entry: its path in the archive, what its header says of it, and why it is refused."""

    name: str
    size: int
    packed: int
    is_file: bool
    refused: str | None = None


class Opened(Protocol):
    """A zip or a tar, seen alike."""

    def members(self) -> Iterator[Member]:
        """Every entry, in order."""

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """The bytes of one entry."""

    def close(self) -> None:
        """Close the archive's file."""


class _Zip:
    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)

    def members(self) -> Iterator[Member]:
        for entry in self._zip.infolist():
            refused = "is a link" if stat.S_ISLNK(entry.external_attr >> 16) else None
            refused = "is encrypted" if entry.flag_bits & 0x1 else refused
            yield Member(entry.filename, entry.file_size, entry.compress_size, not entry.is_dir(), refused)

    def open(self, name: str) -> IO[bytes]:
        return self._zip.open(name)

    def close(self) -> None:
        self._zip.close()


class _Tar:
    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path)  # noqa: SIM115  # `close` does
        self._packed = path.stat().st_size

    def members(self) -> Iterator[Member]:
        for entry in self._tar:
            plain = entry.isreg() or entry.isdir()
            refused = None if plain else "is a link or a device"
            yield Member(entry.name, entry.size, self._packed, entry.isreg(), refused)

    def open(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(name)
        if stream is None:
            raise tarfile.TarError(f"{name} is no file")
        return stream

    def close(self) -> None:
        self._tar.close()


def is_archive(path: Path) -> bool:
    """Whether the bytes are a zip or a tar, compressed or not."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def file_names(path: Path, limits: Limits | None = None) -> list[str]:
    """Paths of the files in an archive.

    Raises:
        SourceError: it cannot be read, or holds an entry that no honest archive of data holds.
    """
    with _opened(path) as opened:
        return [member.name for member in _judged(path, opened, limits or Limits()) if member.is_file]


def unpack(path: Path, wanted: Mapping[str, str], target: Path, limits: Limits | None = None) -> None:
    """Write the wanted members (path in the archive -> plain name) into the target folder.

    Raises:
        SourceError: the archive cannot be read, is not honest, lacks a member, or goes past a limit.
    """
    limits = limits or Limits()
    with _opened(path) as opened:
        found = {member.name: member for member in _judged(path, opened, limits) if member.is_file}
        for name, plain in wanted.items():
            if name not in found:
                raise SourceError(f"{path} holds no {name}; it holds {some(list(found))}")
            with opened.open(name) as stream:
                _write(path, stream, found[name], target / plain, limits)


def some(names: list[str]) -> str:
    """The first few of many names, for a message."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "no files"


def _judged(path: Path, opened: Opened, limits: Limits) -> Iterator[Member]:
    """The members, one by one: a tar is read no further than its first offence."""
    seen: set[str] = set()
    total = 0
    for member in opened.members():
        if (
            reason := member.refused
            or _unsafe(member.name)
            or ("is there twice" if member.name in seen else None)
        ):
            raise SourceError(f"{path} is refused: {member.name!r} {reason}")
        seen.add(member.name)
        total += member.size
        _keep_within(path, total, member.size, member.packed, limits)
        if len(seen) > limits.members:
            raise SourceError(f"{path} is refused: more than {limits.members} members")
        yield member


def _unsafe(name: str) -> str | None:
    """Why a path is not one inside the archive's own folder."""
    slashes = name.replace("\\", "/")
    if slashes.startswith("/") or (len(name) > 1 and name[1] == ":") or "\0" in name:
        return "is an absolute path"
    return "leads out of its folder" if ".." in PurePosixPath(slashes).parts else None


def _keep_within(path: Path, total: int, size: int, packed: int, limits: Limits) -> None:
    if total > limits.bytes:
        raise SourceError(f"{path} is refused: it unpacks to more than {limits.bytes:,} bytes")
    if size > FREE_OF_RATIO and size > limits.ratio * max(packed, 1):
        raise SourceError(f"{path} is refused: it unpacks to more than {limits.ratio:g} times its size")


def _write(path: Path, stream: IO[bytes], member: Member, target: Path, limits: Limits) -> None:
    """Copy, and count what really comes; the target must be new."""
    written = 0
    packed = min(member.packed, path.stat().st_size)
    with target.open("xb") as out:
        while block := stream.read(BLOCK):
            written += len(block)
            _keep_within(path, written, written, packed, limits)
            out.write(block)
    if written != member.size:
        raise SourceError(
            f"{path} is damaged: {member.name} has {written:,} bytes instead of {member.size:,}"
        )


@contextmanager
def _opened(path: Path) -> Iterator[Opened]:
    """The archive while it is read; what the libraries raise becomes one line."""
    try:
        with closing(_Zip(path) if zipfile.is_zipfile(path) else _Tar(path)) as opened:
            yield opened
    except (
        zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error,
        EOFError, OSError, NotImplementedError, RuntimeError, UnicodeError,
    ) as error:  # fmt: skip
        reason = one_line(error)
        raise SourceError(f"{path} cannot be unpacked: {reason}") from None
