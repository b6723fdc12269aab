"""Any source -> a folder that holds just the files that are read, under their plain names.

    demo     generated
    ml-*     data.path (archive, unpacked folder) ─► else the download cache ─► else GroupLens
    file     data.path (archive, folder, or the table itself)

Only the inbox may be empty-handed: another path that does not hold the source is an error, and
never a download.
"""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.config.offline import Data, Demo, FileFormat
from experiments.datasets.archive import file_names, is_archive, some, unpack
from experiments.datasets.download import cached_archive, default_cache
from experiments.datasets.movielens import BASE_URL, DATASETS, Dataset
from marquee.errors import SourceError
from marquee.files.atomic_write import new_folder
from marquee.files.digest import md5_of
from marquee.interactions.matrix import ITEM_COLUMNS, RATING_COLUMNS
from marquee.seeds import seed_for
from marquee.synthetic import SyntheticSpec, generate

log = logging.getLogger(__name__)

INBOX = Path("data/inbox")
TABLES = (".csv", ".tsv", ".dat", ".data", ".txt", ".parquet", ".csv.gz", ".tsv.gz", ".dat.gz", ".txt.gz")


@dataclass(frozen=True)
class Fetched:
    """Which of the fetched files holds the ratings, and which the items."""

    ratings: str
    items: str | None


def fetch_source(
    data: Data, seed: int, target: Path, cache: Path | None = None, base_url: str = BASE_URL
) -> Fetched:
    """Fill the target folder with the source's files; what it held before is gone.

    Raises:
        SourceError: the source is not there, cannot be read, or is not what it should be.
    """
    with new_folder(target) as fresh:
        return _fill(data, seed, fresh, cache or default_cache(), base_url)


def scale_of(data: Data) -> tuple[float, float]:
    """The lowest and highest rating that the source declares."""
    if data.source == "demo":
        return (data.demo.step, 5.0)
    return data.file.scale if data.source == "file" else DATASETS[data.source].scale


def _fill(data: Data, seed: int, target: Path, cache: Path, base_url: str) -> Fetched:
    if data.source == "demo":
        return _demo(data.demo, seed, target)
    if data.source == "file":
        return _table(data.path, data.file, target)
    dataset = DATASETS[data.source]
    place = _local(dataset, data.path)
    if place is None:
        place = cached_archive(dataset, cache, INBOX, base_url)
    return _dataset(dataset, place, target)


def _demo(demo: Demo, seed: int, target: Path) -> Fetched:
    """Ratings from planted factors."""
    spec = SyntheticSpec(demo.n_ratings, n_users=demo.n_users, n_items=demo.n_items, step=demo.step)
    made = generate(spec, seed_for(seed, "demo"))
    ratings, items = made.ratings[list(RATING_COLUMNS)], made.items[list(ITEM_COLUMNS)]
    for name, frame in (("ratings", ratings), ("items", items)):
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), target / f"{name}.parquet")
    return Fetched("ratings.parquet", "items.parquet")


def _local(dataset: Dataset, path: Path) -> Path | None:
    """The data set's archive or folder at data.path; None where only the inbox was looked into."""
    if path.is_file():
        if not is_archive(path):
            raise SourceError(f"{path} is no archive of {dataset.name}: for a table set data.source to file")
        return path
    for place in (path / dataset.archive, path / dataset.folder, path / dataset.name, path):
        if (place.is_file() and place != path) or (place / dataset.ratings_member).is_file():
            return _inside(place, path)
    if path == INBOX:
        return None
    wanted = f"{dataset.archive} or {dataset.ratings_member}"
    raise SourceError(f"{path} {f'holds no {wanted}' if path.is_dir() else 'does not exist'}: see data.path")


def _dataset(dataset: Dataset, place: Path, target: Path) -> Fetched:
    """Copy or unpack the members that are read; a folder may lack the items."""
    members = (dataset.ratings_member, dataset.items_member)
    log.info("%s from %s", dataset.name, place)
    if place.is_dir():
        present = [name for name in members if (place / name).is_file()]
        for name in present:
            _copy(_inside(place / name, place), target / name)
        return Fetched(members[0], members[1] if members[1] in present else None)
    if dataset.md5 and md5_of(place) != dataset.md5:
        log.warning("%s differs from GroupLens's: its MD5 is not %s", place, dataset.md5)
    unpack(place, {f"{dataset.folder}/{name}": name for name in members}, target)
    return Fetched(*members)


def _table(path: Path, file: FileFormat, target: Path) -> Fetched:
    """The ratings, and the items where there are some, of a source of one's own."""
    if not path.exists():
        raise SourceError(f"{path} does not exist: set data.path to an archive, a folder or a table")
    if path.is_file() and not is_archive(path):
        _copy(path, target / path.name)
        return Fetched(path.name, None)
    ratings, items = _members(path, file)
    wanted = {name: PurePosixPath(name).name for name in (ratings, items) if name is not None}
    if len(set(wanted.values())) < len(wanted):
        raise SourceError(f"{path}: the ratings and the items are both called {wanted[ratings]}: rename one")
    if path.is_dir():
        for name, plain in wanted.items():
            _copy(_inside(path / name, path), target / plain)
    else:
        unpack(path, wanted, target)
    return Fetched(wanted[ratings], None if items is None else wanted[items])


def _members(path: Path, file: FileFormat) -> tuple[str, str | None]:
    """Which members of an archive or folder hold the ratings and the items."""
    if path.is_dir():
        named = [
            name for name in (file.ratings_member, file.items_member) if name and (path / name).is_file()
        ]
        names = sorted({*named, *(entry.name for entry in path.iterdir() if entry.is_file())})
    else:
        names = file_names(path)
    ratings = _pick(path, names, file.ratings_member, "ratings")
    if ratings is None:
        hint = "put ratings.csv there, or set data.path or data.file.ratings_member"
        raise SourceError(f"{path} holds no ratings.* table but {some(names)}: {hint}")
    return ratings, _pick(path, names, file.items_member, "items")


def _pick(path: Path, names: Iterable[str], member: str | None, stem: str) -> str | None:
    """The member that is named, or the only table called by the stem."""
    if member is not None:
        found = [name for name in names if name == member] or [n for n in names if n.endswith(f"/{member}")]
        if not found:
            raise SourceError(f"{path} holds no {member} (data.file.{stem}_member) but {some(list(names))}")
    else:
        found = [name for name in names if PurePosixPath(name).name.lower() in {stem + end for end in TABLES}]
    if len(found) > 1:
        raise SourceError(f"{path} holds several: {some(found)}; name one in data.file.{stem}_member")
    return found[0] if found else None


def _inside(place: Path, folder: Path) -> Path:
    """The same path, unless it is a link that leads out of the folder."""
    if not place.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{place} leads out of {folder}: put the file itself there")
    return place


def _copy(source: Path, target: Path) -> None:
    """A copy of the bytes: never a link."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise SourceError(f"{source} cannot be copied to {target}: {error.strerror}") from None
