"""Fetches the source of the raw data into a folder that contains only the files to read, under plain names.

    demo     generated
    ml-*     from data.path (archive or unpacked folder), else from the download cache, else from GroupLens
    file     from data.path (archive, folder, or the table itself)

If the inbox lacks a MovieLens release, it is downloaded. If any other data.path lacks the source, that is an
error.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.config.offline import DataParams, DemoParams, FileParams
from experiments.datasets.archive_extraction import (
    extract_members,
    format_name_list,
    is_archive,
    list_archive_files,
)
from experiments.datasets.download import default_cache_folder, fetch_archive
from experiments.datasets.movielens import BASE_URL, RELEASES, MovieLensRelease
from marquee.errors import SourceError
from marquee.files.atomic_write import replace_folder
from marquee.files.digest import md5_of
from marquee.interactions.columns import INTERACTION_COLUMNS, ITEM_COLUMNS
from marquee.seeds import seed_for
from marquee.synthetic import SyntheticSpec, generate_dataset

log = logging.getLogger(__name__)

INBOX = Path("data/inbox")
TABLE_SUFFIXES = (
    ".csv", ".tsv", ".dat", ".data", ".txt", ".parquet", ".csv.gz", ".tsv.gz", ".dat.gz", ".txt.gz",
)  # fmt: skip
TABLE_STEMS = {"interactions": ("ratings", "interactions"), "items": ("items",)}


@dataclass(frozen=True)
class FetchedFiles:
    """Names of the fetched files; `items` is None if the source has no items."""

    interactions: str
    items: str | None


def fetch_source(
    data: DataParams, seed: int, target: Path, cache: Path | None = None, base_url: str = BASE_URL
) -> FetchedFiles:
    """Replace the content of the target folder with the files of a source.

    Args:
        data: the source and its location.
        seed: root seed of the demo.
        target: the folder. It keeps its old content if the source cannot be fetched.
        cache: the download cache; None: the default of this user.
        base_url: URL of the folder that contains GroupLens's archives.

    Raises:
        SourceError: the source is missing or cannot be read, or an archive has the wrong checksum.
    """
    with replace_folder(target) as folder:
        if data.source == "demo":
            return _generate_demo(data.demo, seed, folder)
        if data.source == "file":
            return _fetch_own_data(data.path, data.file, folder)
        release = RELEASES[data.source]
        location = _local_location(release, data.path)
        if location is None:
            location = fetch_archive(release, cache or default_cache_folder(), INBOX, base_url)
        return _fetch_release(release, location, folder)


def source_rating_scale(data: DataParams) -> tuple[float, float]:
    """Return the lowest and highest rating that can occur in a source."""
    if data.source == "demo":
        return (data.demo.step, 5.0)
    return data.file.scale if data.source == "file" else RELEASES[data.source].scale


def _generate_demo(demo: DemoParams, seed: int, folder: Path) -> FetchedFiles:
    spec = SyntheticSpec(demo.n_ratings, n_users=demo.n_users, n_items=demo.n_items, step=demo.step)
    dataset = generate_dataset(spec, seed_for(seed, "demo"))
    ratings, items = dataset.ratings[list(INTERACTION_COLUMNS)], dataset.items[list(ITEM_COLUMNS)]
    for name, frame in (("ratings", ratings), ("items", items)):
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet")
    return FetchedFiles("ratings.parquet", "items.parquet")


def _local_location(release: MovieLensRelease, path: Path) -> Path | None:
    """Return the archive or folder of a release at data.path, or None if it is missing from the inbox."""
    if path.is_file():
        if not is_archive(path):
            raise SourceError(
                f"{path} is not an {release.name} archive; to read a table, set data.source: file"
            )
        return path
    for archive_or_folder in (path / release.archive_name, path / release.folder, path / release.name, path):
        if archive_or_folder.is_file() or (archive_or_folder / release.interactions_member).is_file():
            return _check_inside(archive_or_folder, path)
    if path == INBOX:
        return None
    if not path.is_dir():
        raise SourceError(f"{path} not found; set data.path to the {release.name} archive or folder")
    raise SourceError(
        f"{path} contains neither {release.archive_name} nor {release.interactions_member}; "
        f"set data.path to the {release.name} archive or folder"
    )


def _fetch_release(release: MovieLensRelease, location: Path, target: Path) -> FetchedFiles:
    """Copy or extract the interactions and the items; a folder may lack the items."""
    log.info("reading %s from %s", release.name, location)
    interactions, items = release.interactions_member, release.items_member
    if location.is_dir():
        has_items = (location / items).is_file()
        for name in (interactions, items) if has_items else (interactions,):
            _copy(_check_inside(location / name, location), target / name)
        return FetchedFiles(interactions, items if has_items else None)
    if release.md5 and md5_of(location) != release.md5:
        log.warning(
            "%s is not the archive that GroupLens published: its MD5 is not %s", location, release.md5
        )
    extract_members(location, {f"{release.folder}/{name}": name for name in (interactions, items)}, target)
    return FetchedFiles(interactions, items)


def _fetch_own_data(path: Path, file: FileParams, target: Path) -> FetchedFiles:
    """Copy or extract the interactions of a user's own source, and the items if it has any."""
    if not path.exists():
        raise SourceError(f"{path} not found; set data.path to an archive, a folder or a table")
    if path.is_file() and not is_archive(path):
        _copy(path, target / path.name)
        return FetchedFiles(path.name, None)
    interactions, items = _find_members(path, file)
    file_names = {name: PurePosixPath(name).name for name in (interactions, items) if name is not None}
    if len(set(file_names.values())) < len(file_names):
        raise SourceError(
            f"the interactions and the items in {path} are both named {file_names[interactions]}; "
            f"rename one of them"
        )
    if path.is_dir():
        for name, file_name in file_names.items():
            _copy(_check_inside(path / name, path), target / file_name)
    else:
        extract_members(path, file_names, target)
    return FetchedFiles(file_names[interactions], None if items is None else file_names[items])


def _find_members(path: Path, file: FileParams) -> tuple[str, str | None]:
    """Return the paths of the interactions and the items in an archive or folder."""
    names = _files_in_folder(path, file) if path.is_dir() else list_archive_files(path)
    interactions = _find_member(path, names, file.interactions_member, "interactions")
    if interactions is None:
        raise SourceError(
            f"{path} contains no table named ratings.* or interactions.* "
            f"(its files: {format_name_list(names)}); "
            f"add ratings.csv, or set data.path or data.file.interactions_member"
        )
    return interactions, _find_member(path, names, file.items_member, "items")


def _files_in_folder(folder: Path, file: FileParams) -> list[str]:
    """Return the files in a folder, and the members named in params.yaml that are in its subfolders."""
    members = (file.interactions_member, file.items_member)
    configured = {name for name in members if name and (folder / name).is_file()}
    return sorted(configured | {entry.name for entry in folder.iterdir() if entry.is_file()})


def _find_member(
    path: Path, names: Sequence[str], member: str | None, table: Literal["interactions", "items"]
) -> str | None:
    """Return the member named in params.yaml, else the only file with a name of the table, else None."""
    if member is not None:
        matches = [name for name in names if name == member]
        matches = matches or [name for name in names if name.endswith(f"/{member}")]
        if not matches:
            raise SourceError(
                f"{path} does not contain {member} (its files: {format_name_list(names)}); "
                f"correct data.file.{table}_member"
            )
    else:
        file_names = {f"{stem}{suffix}" for stem in TABLE_STEMS[table] for suffix in TABLE_SUFFIXES}
        matches = [name for name in names if PurePosixPath(name).name.lower() in file_names]
    if len(matches) > 1:
        raise SourceError(
            f"{path} contains several candidate files ({format_name_list(matches)}); "
            f"choose one with data.file.{table}_member"
        )
    return matches[0] if matches else None


def _check_inside(path: Path, folder: Path) -> Path:
    """Return the path unchanged.

    Raises:
        SourceError: a link or ".." in the path leads out of the folder.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{path} leads out of {folder}; put a copy of the file there")
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy the content of a file; links are followed."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise SourceError(f"cannot copy {source} to {target}: {error.strerror}") from None
