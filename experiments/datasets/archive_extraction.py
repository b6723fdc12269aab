"""Safe extraction of selected members from an untrusted zip or tar archive.

All members are checked before anything is written. The bytes are counted again during extraction, because the
sizes in the headers may be false.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from marquee.errors import SourceError, one_line_message

BLOCK_BYTES = 1 << 20
MIN_BYTES_OF_RATIO_CHECK = 1 << 20  # even a harmless small file may compress a thousandfold
MAX_LISTED_NAMES = 5
ADVICE = "if you trust it, unpack it yourself and set data.path to the folder"


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits that an archive must not exceed."""

    bytes: int = 8 << 30  # unpacked size
    ratio: float = 200.0  # unpacked size divided by packed size
    members: int = 10_000


@dataclass(frozen=True)
class ArchiveMember:
    """Header of one member, and the reason to reject it, if any."""

    name: str
    size: int
    packed_size: int
    is_file: bool
    problem: str | None = None


class ArchiveReader(Protocol):
    """Common interface of zip and tar archives."""

    def iter_members(self) -> Iterator[ArchiveMember]:
        """Yield the headers of all members, in archive order."""

    def open_member(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a member for reading bytes."""

    def close(self) -> None:
        """Close the archive."""


class _ZipArchive:
    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)

    def iter_members(self) -> Iterator[ArchiveMember]:
        for info in self._zip.infolist():
            problem = "is a link" if stat.S_ISLNK(info.external_attr >> 16) else None
            problem = "is encrypted" if info.flag_bits & 0x1 else problem
            yield ArchiveMember(info.filename, info.file_size, info.compress_size, not info.is_dir(), problem)

    def open_member(self, name: str) -> IO[bytes]:
        return self._zip.open(name)

    def close(self) -> None:
        self._zip.close()


class _TarArchive:
    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path)  # noqa: SIM115  # closed by `close`
        self._packed_size = path.stat().st_size  # a tar is compressed as a whole

    def iter_members(self) -> Iterator[ArchiveMember]:
        for info in self._tar:
            problem = None if info.isreg() or info.isdir() else "is a link or a device"
            yield ArchiveMember(info.name, info.size, self._packed_size, info.isreg(), problem)

    def open_member(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(name)
        if stream is None:
            raise tarfile.TarError(f"{name} is not a file")
        return stream

    def close(self) -> None:
        self._tar.close()


def is_archive(path: Path) -> bool:
    """Return True if the bytes start a zip or tar archive, compressed or not."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def list_archive_files(path: Path, limits: ArchiveLimits | None = None) -> list[str]:
    """Return the names of the files in an archive, as paths within it.

    Raises:
        SourceError: the archive cannot be read, has an unsafe member, or exceeds a limit.
    """
    with _open_archive(path) as archive:
        members = _checked_members(path, archive, limits or ArchiveLimits())
        return [member.name for member in members if member.is_file]


def extract_members(
    path: Path, file_names: Mapping[str, str], folder: Path, limits: ArchiveLimits | None = None
) -> None:
    """Write selected members of an archive into a folder.

    Args:
        path: the archive.
        file_names: name of each file in the folder, by its path in the archive.
        folder: an existing folder without these files.
        limits: limits on the archive.

    Raises:
        SourceError: the archive cannot be read, lacks a member, has an unsafe one, or exceeds a limit.
    """
    limits = limits or ArchiveLimits()
    with _open_archive(path) as archive:
        files = {member.name: member for member in _checked_members(path, archive, limits) if member.is_file}
        for name, file_name in file_names.items():
            if name not in files:
                raise SourceError(
                    f"{path} does not contain {name} (its files: {format_name_list(list(files))})"
                )
            with archive.open_member(name) as stream:
                _write_member(path, stream, files[name], folder / file_name, limits)


def format_name_list(names: Sequence[str]) -> str:
    """Join names for a message: the first few, and the number of the others.

    >>> format_name_list(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    if not names:
        return "none"
    n_more = len(names) - MAX_LISTED_NAMES
    return ", ".join(names[:MAX_LISTED_NAMES]) + (f" and {n_more} more" if n_more > 0 else "")


def _checked_members(path: Path, archive: ArchiveReader, limits: ArchiveLimits) -> Iterator[ArchiveMember]:
    """Check and yield each member; a tar is read no further than its first unsafe member."""
    names: set[str] = set()
    total = 0
    for member in archive.iter_members():
        problem = member.problem or _path_problem(member.name)
        if member.name in names:
            problem = problem or "occurs twice"
        if problem:
            raise SourceError(f"{path} is not safe to unpack: {member.name!r} {problem}; {ADVICE}")
        names.add(member.name)
        total += member.size
        _check_size(path, total, member.size, member.packed_size, limits)
        if len(names) > limits.members:
            raise SourceError(
                f"{path} is not safe to unpack: it has more than {limits.members:,} members; {ADVICE}"
            )
        yield member


def _path_problem(name: str) -> str | None:
    """Return the reason why a path could lead out of the target folder, or None."""
    slashes = name.replace("\\", "/")
    if slashes.startswith("/") or (len(name) > 1 and name[1] == ":") or "\0" in name:
        return "has an absolute path"
    return "leads out of the archive" if ".." in PurePosixPath(slashes).parts else None


def _check_size(path: Path, total: int, size: int, packed_size: int, limits: ArchiveLimits) -> None:
    """Check the unpacked bytes of the archive (`total`) and of one member (`size`)."""
    excess = None
    if total > limits.bytes:
        excess = f"{limits.bytes:,} bytes"
    elif size > MIN_BYTES_OF_RATIO_CHECK and size > limits.ratio * max(packed_size, 1):
        excess = f"{limits.ratio:g} times its size"
    if excess:
        raise SourceError(f"{path} is not safe to unpack: it unpacks to more than {excess}; {ADVICE}")


def _write_member(
    path: Path, stream: IO[bytes], member: ArchiveMember, target: Path, limits: ArchiveLimits
) -> None:
    """Copy one member into a new file, and check its size."""
    n_written = 0
    packed_size = min(member.packed_size, path.stat().st_size)
    with target.open("xb") as file:
        while block := stream.read(BLOCK_BYTES):
            n_written += len(block)
            _check_size(path, n_written, n_written, packed_size, limits)
            file.write(block)
    if n_written != member.size:
        raise SourceError(
            f"{path} is damaged: {member.name} should have {member.size:,} bytes, got {n_written:,}; "
            f"download it again"
        )


@contextmanager
def _open_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open an archive; library errors become a SourceError, including those raised while it is read."""
    try:
        with closing(_ZipArchive(path) if zipfile.is_zipfile(path) else _TarArchive(path)) as archive:
            yield archive
    except (
        zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error,
        EOFError, OSError, NotImplementedError, RuntimeError, UnicodeError,
    ) as error:  # fmt: skip
        reason = one_line_message(error)
        raise SourceError(f"{path} cannot be unpacked: {reason}") from None
