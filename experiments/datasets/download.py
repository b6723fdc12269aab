"""Download cache: each MovieLens archive is downloaded once, resumed after an interruption, and verified.

cache/ml-1m.zip          complete and verified
cache/ml-1m.zip.part     bytes received so far
cache/ml-1m.zip.lock     held by the process that downloads
cache/ml-….zip.md5       published checksum, if the archive changes from time to time
"""

import logging
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.datasets.movielens import BASE_URL, MovieLensRelease
from marquee.errors import SourceError, one_line_message
from marquee.files.digest import md5_of
from marquee.files.lock import file_lock

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # downloads are logged here

TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds


def default_cache_folder() -> Path:
    """Return $MARQUEE_CACHE, or the folder `marquee` in the user's cache folder."""
    if configured := os.environ.get("MARQUEE_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marquee"


def fetch_archive(release: MovieLensRelease, cache: Path, inbox: Path, base_url: str = BASE_URL) -> Path:
    """Return the path of a verified archive in the cache; download it if necessary.

    Args:
        release: release to fetch.
        cache: the cache folder; created if it does not exist.
        inbox: folder for archives downloaded by hand; error messages mention it.
        base_url: URL of the folder that contains the archives.

    Raises:
        SourceError: the archive cannot be downloaded or stored, or its checksum is wrong.
    """
    archive = cache / release.archive_name
    url = f"{base_url}/{release.archive_name}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with file_lock(archive.with_name(f"{archive.name}.lock")):
            if not _is_verified(archive, release):
                _download(release, archive, url)
    except httpx.HTTPError as error:
        raise SourceError(
            f"cannot download {url}: {_reason(error)}; run the command again to resume, "
            f"or put {release.archive_name} into {inbox}/ yourself"
        ) from None
    except OSError as error:
        raise SourceError(
            f"cannot use {cache} as the download cache: {error}; set MARQUEE_CACHE to a writable folder, "
            f"or put {release.archive_name} into {inbox}/ yourself"
        ) from None
    return archive


def _is_verified(archive: Path, release: MovieLensRelease) -> bool:
    """Return True if the cache has the archive as published; delete a damaged archive."""
    checksum_file = _checksum_file(archive)
    expected = release.md5 or (checksum_file.read_text() if checksum_file.exists() else None)
    if not archive.exists() or expected is None:
        return False
    if md5_of(archive) == expected:
        return True
    log.warning("%s is damaged; downloading it again", archive)
    archive.unlink()
    return False


def _download(release: MovieLensRelease, archive: Path, url: str) -> None:
    """Download the archive to a .part file, verify it, and move it into place."""
    part = archive.with_name(f"{archive.name}.part")
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        expected = release.md5 or _published_md5(client, f"{url}.md5")
        if not (part.exists() and md5_of(part) == expected):
            _receive(client, url, part)
    if (actual := md5_of(part)) != expected:
        part.unlink()
        raise SourceError(
            f"{url} has the wrong checksum: expected MD5 {expected}, got {actual}; "
            f"the download was deleted, run the command again to retry"
        )
    if release.md5 is None:
        _checksum_file(archive).write_text(expected)
    part.replace(archive)


def _receive(client: httpx.Client, url: str, part: Path) -> None:
    """Append the missing bytes to the .part file, or download it again if the server cannot resume."""
    n_bytes = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={n_bytes}-"} if n_bytes else {})
    with client.stream("GET", url, headers=headers) as response:
        if n_bytes and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
        else:
            response.raise_for_status()
            _append(response, part, n_bytes if _resumes_at(response, n_bytes) else 0)
            return
    _receive(client, url, part)


def _resumes_at(response: httpx.Response, n_bytes: int) -> bool:
    """Return True if the response continues exactly at the end of the .part file."""
    content_range = response.headers.get("Content-Range", "")
    return response.status_code == httpx.codes.PARTIAL_CONTENT and content_range.startswith(
        f"bytes {n_bytes}-"
    )


def _append(response: httpx.Response, part: Path, start: int) -> None:
    if start == 0 and response.status_code == httpx.codes.PARTIAL_CONTENT:
        raise httpx.RemoteProtocolError("the server sent a range that was not requested")
    log.info("%s %s", "resuming" if start else "downloading", response.url)
    length = response.headers.get("Content-Length", "")
    with _progress_bar() as progress, part.open("ab" if start else "wb") as file:
        total = start + int(length) if length.isdigit() else None
        task = progress.add_task(part.stem, total=total, completed=start)
        for block in response.iter_raw():
            file.write(block)
            progress.advance(task, len(block))


def _progress_bar() -> Progress:
    """Return a progress bar that appears on a terminal only, not in a log file."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _published_md5(client: httpx.Client, url: str) -> str:
    """Download the checksum that GroupLens publishes beside an archive."""
    response = client.get(url)
    response.raise_for_status()
    checksum = re.search(r"\b[0-9a-f]{32}\b", response.text)
    if checksum is None:
        raise SourceError(
            f"{url} contains no MD5 checksum; download and unpack the archive yourself and set data.path "
            f"to the folder"
        )
    return checksum.group()


def _checksum_file(archive: Path) -> Path:
    """Return the path of the checksum that was published when the archive was downloaded."""
    return archive.with_name(f"{archive.name}.md5")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that led to this one, the nearest first."""
    while (cause := error.__cause__ or error.__context__) is not None:
        yield (error := cause)


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server responded with status {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "the server does not respond"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return f"the server's certificate is not valid ({one_line_message(error)})"
    return one_line_message(error)
