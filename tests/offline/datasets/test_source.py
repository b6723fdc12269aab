"""Data sources: fetching any of them fills data/raw with exactly the files to read."""

import dataclasses
import gzip
import hashlib
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from experiments.config import load_params
from experiments.config.offline import DataParams
from experiments.datasets.dvc_digest import folder_digest, list_raw_files
from experiments.datasets.movielens import RELEASES
from experiments.datasets.source import INBOX, FetchedFiles, fetch_source, source_rating_scale
from marquee.errors import SourceError

ROOT = Path(__file__).parents[3]
RAW = Path("data/raw")
UNREACHABLE_URL = "http://127.0.0.1:9"
CSV = b"user,item,rating\na,b,3\n"

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a project folder whose inbox has no ratings."""
    monkeypatch.chdir(tmp_path)
    INBOX.mkdir(parents=True)
    (INBOX / "README.md").write_text("# The inbox\n")


def make_data_params(**changes: Any) -> DataParams:
    shipped = load_params(ROOT / "params.yaml").data.model_dump()
    file = shipped["file"] | changes.pop("file", {})
    demo = shipped["demo"] | {"n_ratings": 2000}
    return DataParams.model_validate(shipped | {"demo": demo, "file": file, "path": INBOX} | changes)


def fetch(data: DataParams) -> FetchedFiles:
    return fetch_source(data, 42, RAW, Path("cache"), UNREACHABLE_URL)


def read_raw_files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in RAW.iterdir()}


def compute_raw_digest() -> str:
    return folder_digest(list_raw_files(RAW))


def write_file(path: str, content: bytes = CSV) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    return Path(path)


def write_zip(path: str, members: dict[str, bytes]) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return Path(path)


def test_demo_is_determined_by_the_seed() -> None:
    assert fetch(make_data_params()) == FetchedFiles("ratings.parquet", "items.parquet")
    first = compute_raw_digest()
    fetch(make_data_params())
    assert compute_raw_digest() == first
    fetch_source(make_data_params(), 43, RAW)
    assert compute_raw_digest() != first


@pytest.mark.parametrize("path", ["data/inbox/ml-1m.zip", "elsewhere/ml-1m.zip"])
@pytest.mark.parametrize("path_is_the_archive", [True, False])
def test_local_archive_is_used_with_a_warning_if_it_is_not_the_published_one(
    caplog: pytest.LogCaptureFixture, path: str, path_is_the_archive: bool
) -> None:
    members = {"ml-1m/ratings.dat": b"1::2::3::4\n", "ml-1m/movies.dat": b"2::T::G\n", "ml-1m/README": b""}
    write_zip(path, members)
    with caplog.at_level(logging.WARNING):
        fetched = fetch(
            make_data_params(source="ml-1m", path=Path(path) if path_is_the_archive else Path(path).parent)
        )
    assert fetched == FetchedFiles("ratings.dat", "movies.dat")
    assert read_raw_files() == {"ratings.dat": b"1::2::3::4\n", "movies.dat": b"2::T::G\n"}
    assert "is not the archive that GroupLens published" in caplog.text


@pytest.mark.parametrize("folder", ["data/inbox/ml-10M100K", "data/inbox/ml-10m", "data/inbox"])
def test_unpacked_folder_is_used_even_without_items(folder: str) -> None:
    write_file(f"{folder}/ratings.dat", b"1::2::3::4\n")
    assert fetch(make_data_params(source="ml-10m")) == FetchedFiles("ratings.dat", None)
    assert read_raw_files() == {"ratings.dat": b"1::2::3::4\n"}


def test_cache_is_used_before_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip("cache/ml-100k.zip", {"ml-100k/u.data": b"1\t2\t3\t4\n", "ml-100k/u.item": b""})
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    release = dataclasses.replace(RELEASES["ml-100k"], md5=digest)
    monkeypatch.setattr("experiments.datasets.source.RELEASES", {"ml-100k": release})
    assert fetch(make_data_params(source="ml-100k")) == FetchedFiles("u.data", "u.item")


def test_error_without_archive_and_network_says_where_to_put_the_archive() -> None:
    with pytest.raises(SourceError, match=r"put ml-25m.zip into data/inbox/ yourself"):
        fetch(make_data_params(source="ml-25m"))


def test_path_other_than_the_inbox_starts_no_download() -> None:
    with pytest.raises(SourceError, match=r"gone not found; set data.path to the ml-1m archive"):
        fetch(make_data_params(source="ml-1m", path=Path("gone")))
    write_file("other/ratings.csv")
    with pytest.raises(SourceError, match=r"other contains neither ml-1m.zip nor ratings.dat"):
        fetch(make_data_params(source="ml-1m", path=Path("other")))
    with pytest.raises(SourceError, match=r"is not an ml-1m archive; to read a table, set data.source: file"):
        fetch(make_data_params(source="ml-1m", path=Path("other/ratings.csv")))


def test_copied_table_keeps_its_file_name() -> None:
    path = write_file("mine/stars.csv.gz", gzip.compress(CSV, mtime=0))
    assert fetch(make_data_params(source="file", path=path)) == FetchedFiles("stars.csv.gz", None)
    assert read_raw_files() == {"stars.csv.gz": path.read_bytes()}


@pytest.mark.parametrize("is_archive", [True, False])
def test_ratings_and_items_are_located_by_name_or_by_parameter(is_archive: bool) -> None:
    members = {"ratings.csv": CSV, "items.csv": b"item\nb\n", "sub/other.csv": CSV + b"c,d,4\n"}
    if is_archive:
        path = write_zip("mine.zip", {f"top/{name}": content for name, content in members.items()})
    else:
        path = Path("mine")
        for name, content in members.items():
            write_file(f"mine/{name}", content)
    assert fetch(make_data_params(source="file", path=path)) == FetchedFiles("ratings.csv", "items.csv")
    by_parameter = make_data_params(source="file", path=path, file={"interactions_member": "sub/other.csv"})
    assert fetch(by_parameter) == FetchedFiles("other.csv", "items.csv")
    assert read_raw_files()["other.csv"].endswith(b"c,d,4\n")
    with pytest.raises(
        SourceError,
        match=r"contain gone.csv \(its files: .*\); correct data.file.interactions_member",
    ):
        fetch(make_data_params(source="file", path=path, file={"interactions_member": "gone.csv"}))


def test_several_ratings_files_are_an_error() -> None:
    write_file("mine/ratings.csv")
    write_file("mine/ratings.parquet")
    with pytest.raises(
        SourceError,
        match=r"mine contains several candidate files \(ratings.csv, ratings.parquet\); "
        r"choose one with data.file.interactions_member",
    ):
        fetch(make_data_params(source="file", path=Path("mine")))


@pytest.mark.parametrize("name", ["ratings.csv", "interactions.csv", "Interactions.TSV"])
def test_table_of_interactions_is_located_by_either_name(name: str) -> None:
    write_file(f"data/inbox/{name}")
    assert fetch(make_data_params(source="file")) == FetchedFiles(name, None)


def test_inbox_without_ratings_error_says_what_to_add() -> None:
    write_file("data/inbox/stars.csv")
    with pytest.raises(
        SourceError,
        match=r"ratings\.\* or interactions\.\* \(its files: README.md, stars.csv\); add ratings.csv",
    ):
        fetch(make_data_params(source="file"))


def test_ratings_and_items_files_with_the_same_name_are_an_error() -> None:
    write_file("mine/a/table.csv")
    write_file("mine/b/table.csv")
    members = {"interactions_member": "a/table.csv", "items_member": "b/table.csv"}
    with pytest.raises(SourceError, match=r"are both named table.csv; rename one of them"):
        fetch(make_data_params(source="file", path=Path("mine"), file=members))


def test_links_and_paths_that_leave_the_folder_are_rejected() -> None:
    secret = write_file("outside/secret.csv")
    Path("mine").mkdir()
    Path("mine/ratings.csv").symlink_to(secret.resolve())
    with pytest.raises(SourceError, match="leads out of mine; put a copy of the file there"):
        fetch(make_data_params(source="file", path=Path("mine")))
    for member in ("../outside/secret.csv", str(secret.resolve())):
        with pytest.raises(SourceError, match="leads out of mine"):
            fetch(make_data_params(source="file", path=Path("mine"), file={"interactions_member": member}))


def test_failed_fetch_keeps_the_old_files() -> None:
    fetch(make_data_params(source="file", path=write_file("one.csv")))
    with pytest.raises(SourceError, match=r"gone\.csv not found"):
        fetch(make_data_params(source="file", path=Path("gone.csv")))
    assert read_raw_files() == {"one.csv": CSV}
    assert sorted(path.name for path in Path("data").iterdir()) == ["inbox", "raw"]


def test_rating_scale_is_that_of_the_source() -> None:
    assert source_rating_scale(make_data_params(source="ml-1m")) == (1.0, 5.0)
    assert source_rating_scale(make_data_params(source="ml-20m")) == (0.5, 5.0)
    assert source_rating_scale(make_data_params(source="file", file={"scale": (0, 10)})) == (0.0, 10.0)
    assert source_rating_scale(make_data_params()) == (1.0, 5.0)


def test_folder_digest_equals_that_of_dvc() -> None:
    for name, content in {"b.csv": b"b\r\n", "a b.csv": b"a", "Ä.csv": b"", "sub/c.csv": b"c"}.items():
        write_file(f"data/raw/{name}", content)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    for command in (
        ["init", "--no-scm", "-q"],
        ["config", "core.analytics", "false"],
        ["add", "-q", "data/raw"],
    ):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True, env=environment)
    assert f"md5: {compute_raw_digest()}\n" in Path("data/raw.dvc").read_text()
