"""Any source becomes a folder with just the files that are read."""

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

from experiments.config.offline import Data, load_params
from experiments.datasets import source as source_module
from experiments.datasets.dvc_digest import digest_of, files_of
from experiments.datasets.movielens import DATASETS
from experiments.datasets.source import INBOX, Fetched, fetch_source, scale_of
from marquee.errors import SourceError

ROOT = Path(__file__).parents[3]
NOWHERE = "http://127.0.0.1:9"
CSV = b"user,item,rating\na,b,3\n"


def block(**changes: Any) -> Data:
    data = load_params(ROOT / "params.yaml").data.model_dump()
    file = data["file"] | changes.pop("file", {})
    demo = data["demo"] | {"n_ratings": 2000}
    return Data.model_validate(data | {"demo": demo, "file": file, "path": INBOX} | changes)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    INBOX.mkdir(parents=True)
    (INBOX / "README.md").write_text("# The inbox\n")
    return tmp_path


def fetch(data: Data) -> Fetched:
    return fetch_source(data, 42, Path("data/raw"), Path("cache"), NOWHERE)


def raw() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("data/raw").iterdir()}


def put(path: str, content: bytes = CSV) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    return Path(path)


def put_zip(path: str, members: dict[str, bytes]) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return Path(path)


def test_the_demo_is_the_same_bytes_for_one_seed(project):
    assert fetch(block()) == Fetched("ratings.parquet", "items.parquet")
    first = digest_of(files_of(Path("data/raw")))
    fetch(block())
    assert digest_of(files_of(Path("data/raw"))) == first
    fetch_source(block(), 43, Path("data/raw"))
    assert digest_of(files_of(Path("data/raw"))) != first


@pytest.mark.parametrize("path", ["data/inbox/ml-1m.zip", "elsewhere/ml-1m.zip"])
@pytest.mark.parametrize("named", [True, False])
def test_a_local_archive_is_used_and_told_apart_from_the_official_one(project, caplog, path, named):
    put_zip(
        path, {"ml-1m/ratings.dat": b"1::2::3::4\n", "ml-1m/movies.dat": b"2::T::G\n", "ml-1m/README": b""}
    )
    with caplog.at_level(logging.WARNING):
        fetched = fetch(block(source="ml-1m", path=Path(path) if named else Path(path).parent))
    assert fetched == Fetched("ratings.dat", "movies.dat")
    assert raw() == {"ratings.dat": b"1::2::3::4\n", "movies.dat": b"2::T::G\n"}
    assert "differs from GroupLens's" in caplog.text


@pytest.mark.parametrize("folder", ["data/inbox/ml-10M100K", "data/inbox/ml-10m", "data/inbox"])
def test_an_unpacked_folder_is_used_with_or_without_items(project, folder):
    put(f"{folder}/ratings.dat", b"1::2::3::4\n")
    assert fetch(block(source="ml-10m")) == Fetched("ratings.dat", None)
    assert raw() == {"ratings.dat": b"1::2::3::4\n"}


def test_the_cache_is_used_before_the_network(project, monkeypatch):
    archive = put_zip("cache/ml-100k.zip", {"ml-100k/u.data": b"1\t2\t3\t4\n", "ml-100k/u.item": b""})
    cached = DATASETS["ml-100k"].__class__(
        **{**vars(DATASETS["ml-100k"]), "md5": hashlib.md5(archive.read_bytes()).hexdigest()}
    )
    monkeypatch.setitem(source_module.DATASETS, "ml-100k", cached)
    assert fetch(block(source="ml-100k")) == Fetched("u.data", "u.item")


def test_an_empty_inbox_and_no_network_say_where_to_put_the_file(project):
    with pytest.raises(SourceError, match=r"put ml-25m.zip into data/inbox/ by hand"):
        fetch(block(source="ml-25m"))


def test_another_path_never_downloads(project):
    with pytest.raises(SourceError, match="gone does not exist"):
        fetch(block(source="ml-1m", path=Path("gone")))
    put("other/ratings.csv")
    with pytest.raises(SourceError, match=r"other holds no ml-1m.zip or ratings.dat"):
        fetch(block(source="ml-1m", path=Path("other")))
    with pytest.raises(SourceError, match=r"is no archive of ml-1m: for a table set data.source to file"):
        fetch(block(source="ml-1m", path=Path("other/ratings.csv")))


def test_a_table_keeps_its_own_name(project):
    path = put("mine/stars.csv.gz", gzip.compress(CSV, mtime=0))
    assert fetch(block(source="file", path=path)) == Fetched("stars.csv.gz", None)
    assert raw() == {"stars.csv.gz": path.read_bytes()}


@pytest.mark.parametrize("packed", [True, False])
def test_ratings_and_items_are_found_by_name_or_by_parameter(project, packed):
    members = {"ratings.csv": CSV, "items.csv": b"item\nb\n", "sub/other.csv": CSV + b"c,d,4\n"}
    if packed:
        path = put_zip("mine.zip", {f"top/{name}": content for name, content in members.items()})
    else:
        path = Path("mine")
        for name, content in members.items():
            put(f"mine/{name}", content)
    assert fetch(block(source="file", path=path)) == Fetched("ratings.csv", "items.csv")
    named = block(source="file", path=path, file={"ratings_member": "sub/other.csv"})
    assert fetch(named) == Fetched("other.csv", "items.csv")
    assert raw()["other.csv"].endswith(b"c,d,4\n")
    with pytest.raises(SourceError, match=r"holds no gone.csv \(data.file.ratings_member\)"):
        fetch(block(source="file", path=path, file={"ratings_member": "gone.csv"}))


def test_a_choice_of_ratings_is_not_made_for_the_user(project):
    put("mine/ratings.csv")
    put("mine/ratings.parquet")
    with pytest.raises(
        SourceError, match=r"several: ratings.csv, ratings.parquet; name one in data.file.ratings"
    ):
        fetch(block(source="file", path=Path("mine")))


def test_an_inbox_without_ratings_says_what_to_put_there(project):
    put("data/inbox/stars.csv")
    with pytest.raises(
        SourceError, match=r"no ratings\.\* table but README.md, stars.csv: put ratings.csv there"
    ):
        fetch(block(source="file"))


def test_links_that_leave_the_folder_are_refused(project):
    secret = put("outside/secret.csv")
    Path("mine").mkdir()
    Path("mine/ratings.csv").symlink_to(secret.resolve())
    with pytest.raises(SourceError, match="leads out of mine"):
        fetch(block(source="file", path=Path("mine")))
    for member in ("../outside/secret.csv", str(secret.resolve())):
        with pytest.raises(SourceError, match="leads out of mine"):
            fetch(block(source="file", path=Path("mine"), file={"ratings_member": member}))


def test_a_failed_fetch_leaves_the_old_files(project):
    fetch(block(source="file", path=put("one.csv")))
    with pytest.raises(SourceError):
        fetch(block(source="file", path=Path("gone.csv")))
    assert raw() == {"one.csv": CSV}
    assert sorted(path.name for path in Path("data").iterdir()) == ["inbox", "raw"]


def test_the_scale_is_the_sources_own(project):
    assert scale_of(block(source="ml-1m")) == (1.0, 5.0)
    assert scale_of(block(source="ml-20m")) == (0.5, 5.0)
    assert scale_of(block(source="file", file={"scale": (0, 10)})) == (0.0, 10.0)
    assert scale_of(block()) == (1.0, 5.0)


def test_the_digest_is_the_one_in_dvcs_own_file(project):
    for name, content in {"b.csv": b"b\r\n", "a b.csv": b"a", "Ä.csv": b"", "sub/c.csv": b"c"}.items():
        put(f"data/raw/{name}", content)
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    for command in (
        ["init", "--no-scm", "-q"],
        ["config", "core.analytics", "false"],
        ["add", "-q", "data/raw"],
    ):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True, env=quiet)
    written = Path("data/raw.dvc").read_text()
    assert f"md5: {digest_of(files_of(Path('data/raw')))}\n" in written
