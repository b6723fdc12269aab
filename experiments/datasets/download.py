"""The download cache: an official archive, once, resumed where it stopped, checked before it is used.

cache/ml-1m.zip          complete, and its checksum was right
cache/ml-1m.zip.part     what has arrived so far
cache/ml-1m.zip.lock     held by the process that downloads
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

from experiments.datasets.movielens import BASE_URL, Dataset
from marquee.errors import SourceError, one_line
from marquee.files.digest import md5_of
from marquee.files.lock import locked

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request is ours to write

TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def default_cache() -> Path:
    """$MARQUEE_CACHE, or `marquee` in the user's cache folder."""
    if own := os.environ.get("MARQUEE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marquee"


def cached_archive(dataset: Dataset, cache: Path, by_hand: Path, base_url: str = BASE_URL) -> Path:
    """The official archive, from the cache or downloaded into it; `by_hand` is where a person may put it.

    Raises:
        SourceError: it cannot be downloaded or stored, or is not what GroupLens published.
    """
    archive = cache / dataset.archive
    advice = f"put {dataset.archive} into {by_hand}/ by hand, or run again to resume"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(archive.with_name(f"{archive.name}.lock")):  # the others wait, and find it done
            if not _is_whole(archive, dataset):
                _fetch(dataset, archive, f"{base_url}/{dataset.archive}")
    except httpx.HTTPError as error:
        raise SourceError(f"{base_url}/{dataset.archive}: {_reason(error)}; {advice}") from None
    except OSError as error:
        raise SourceError(f"{cache} cannot be used as the download cache: {error}; {advice}") from None
    return archive


def _is_whole(archive: Path, dataset: Dataset) -> bool:
    """Whether the cache holds the archive as published; a damaged one is forgotten."""
    note = _note(archive)
    expected = dataset.md5 or (note.read_text() if note.exists() else None)
    if not archive.exists() or expected is None:
        return False
    if md5_of(archive) == expected:
        return True
    log.warning("%s is damaged: it is downloaded again", archive)
    archive.unlink()
    return False


def _fetch(dataset: Dataset, archive: Path, url: str) -> None:
    """Download to the .part, check it, and move it into place."""
    part = archive.with_name(f"{archive.name}.part")
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        expected = dataset.md5 or _published_md5(client, f"{url}.md5")
        if not (part.exists() and md5_of(part) == expected):
            _stream(client, url, part)
    if (actual := md5_of(part)) != expected:
        part.unlink()
        raise SourceError(f"{url} came with MD5 {actual} instead of {expected}: deleted; run again to retry")
    if dataset.md5 is None:
        _note(archive).write_text(expected)
    part.replace(archive)


def _stream(client: httpx.Client, url: str, part: Path) -> None:
    """Append what is missing to the .part; start over where the server does not resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
        else:
            response.raise_for_status()
            _append(response, part, have if _resumes(response, have) else 0)
            return
    _stream(client, url, part)


def _resumes(response: httpx.Response, have: int) -> bool:
    """Whether the answer goes on exactly where the .part ends."""
    where = response.headers.get("Content-Range", "")
    return response.status_code == httpx.codes.PARTIAL_CONTENT and where.startswith(f"bytes {have}-")


def _append(response: httpx.Response, part: Path, start: int) -> None:
    if start == 0 and response.status_code == httpx.codes.PARTIAL_CONTENT:
        raise httpx.RemoteProtocolError("the server answered another range than was asked for")
    log.info("%s %s", "resuming" if start else "downloading", response.url)
    length = response.headers.get("Content-Length", "")
    with _progress() as progress, part.open("ab" if start else "wb") as out:
        total = start + int(length) if length.isdigit() else None
        task = progress.add_task(part.stem, total=total, completed=start)
        for block in response.iter_raw():
            out.write(block)
            progress.advance(task, len(block))


def _progress() -> Progress:
    """A bar where a person looks, nothing in a log file."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _published_md5(client: httpx.Client, url: str) -> str:
    """The checksum that GroupLens publishes beside an archive."""
    response = client.get(url)
    response.raise_for_status()
    found = re.search(r"\b[0-9a-f]{32}\b", response.text)
    if found is None:
        raise SourceError(f"{url} holds no MD5 checksum: put the archive in place by hand")
    return found.group()


def _note(archive: Path) -> Path:
    """Where the published checksum of a changing archive is kept."""
    return archive.with_name(f"{archive.name}.md5")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that led to this one, the nearest first."""
    while (cause := error.__cause__ or error.__context__) is not None:
        yield (error := cause)


def _reason(error: httpx.HTTPError) -> str:
    """Why, in a few words."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "the server does not answer"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return f"the server's certificate was refused ({one_line(error)})"
    return one_line(error)
