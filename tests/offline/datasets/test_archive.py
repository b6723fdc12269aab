"""Archives that are not to be trusted."""

import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.datasets.archive import Limits, file_names, is_archive, unpack
from marquee.errors import SourceError

WANTED = {"ml/ratings.csv": "ratings.csv"}


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, to in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, to
            archive.addfile(entry)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "target"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("make", "name"), [(make_zip, "a.zip"), (make_tar, "a.tar.gz")])
def test_only_the_wanted_members_are_written_under_plain_names(tmp_path, target, make, name):
    archive = make(tmp_path / name, {"ml/ratings.csv": b"a,b\n", "ml/README": b"hello", "ml/links.csv": b"x"})
    unpack(archive, WANTED, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"ratings.csv": b"a,b\n"}
    assert is_archive(archive)
    assert file_names(archive) == ["ml/ratings.csv", "ml/README", "ml/links.csv"]


@pytest.mark.parametrize(
    "evil", ["../evil.csv", "ml/../../evil.csv", "..\\evil.csv", "/etc/evil.csv", "C:\\evil.csv"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_entry_that_leaves_the_folder_refuses_the_archive(tmp_path, target, make, evil):
    archive = make(tmp_path / "archive", {evil: b"evil", "ml/ratings.csv": b"a,b\n"})
    with pytest.raises(SourceError, match=r"leads out of its folder|is an absolute path"):
        unpack(archive, WANTED, target)
    assert list(target.iterdir()) == []
    assert not list(tmp_path.rglob("evil*"))


@given(
    name=st.text(min_size=1, max_size=20).map(lambda text: f"../{text}")
    | st.sampled_from(["/a", "a/../../b"])
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_ever_written_outside_the_target(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("zip")
    (folder / "target").mkdir()
    archive = make_zip(folder / "a.zip", {name: b"evil"})
    with pytest.raises(SourceError):
        unpack(archive, {name: "ratings.csv"}, folder / "target")
    assert sorted(path.name for path in folder.rglob("*")) == ["a.zip", "target"]


def test_a_link_in_a_zip_is_refused(tmp_path, target):
    entry = zipfile.ZipInfo("ml/ratings.csv")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(SourceError, match=r"'ml/ratings.csv' is a link"):
        unpack(tmp_path / "a.zip", WANTED, target)


def test_a_link_in_a_tar_is_refused(tmp_path, target):
    archive = make_tar(tmp_path / "a.tar.gz", {"x": b"x"}, {"ml/ratings.csv": "/etc/passwd"})
    with pytest.raises(SourceError, match=r"'ml/ratings.csv' is a link"):
        unpack(archive, WANTED, target)


@pytest.mark.parametrize(("make", "name"), [(make_zip, "a.zip"), (make_tar, "a.tar.gz")])
def test_a_bomb_is_refused_by_its_ratio(tmp_path, target, make, name):
    archive = make(tmp_path / name, {"ml/ratings.csv": bytes(20 << 20)})
    with pytest.raises(SourceError, match="more than 200 times its size"):
        unpack(archive, WANTED, target)
    assert list(target.iterdir()) == []


def test_an_archive_larger_than_the_limit_is_refused(tmp_path, target):
    archive = make_zip(tmp_path / "a.zip", {"ml/ratings.csv": bytes(range(256)) * 8, "other": bytes(2000)})
    with pytest.raises(SourceError, match="unpacks to more than 3,000 bytes"):
        unpack(archive, WANTED, target, Limits(bytes=3000))


def test_too_many_members_are_refused(tmp_path, target):
    archive = make_zip(tmp_path / "a.zip", {f"ml/{n}": b"" for n in range(12)})
    with pytest.raises(SourceError, match="more than 10 members"):
        unpack(archive, WANTED, target, Limits(members=10))


@pytest.mark.parametrize("claimed", [10, 5_000_000])
def test_a_header_that_lies_about_the_size_is_found_out(tmp_path, target, claimed):
    archive = make_zip(tmp_path / "a.zip", {"ml/ratings.csv": bytes(3 << 20)})
    data = bytearray(archive.read_bytes())
    struct.pack_into(
        "<I", data, data.rfind(b"PK\x01\x02") + 24, claimed
    )  # uncompressed size, central directory
    archive.write_bytes(data)
    with pytest.raises(SourceError):
        unpack(archive, WANTED, target, Limits(ratio=1e9))
    assert sum(path.stat().st_size for path in target.iterdir()) <= 3 << 20


def test_an_encrypted_entry_is_refused(tmp_path, target):
    archive = make_zip(tmp_path / "a.zip", {"ml/ratings.csv": b"a,b\n"})
    data = bytearray(archive.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(SourceError, match="is encrypted"):
        unpack(archive, WANTED, target)


def test_a_name_that_is_there_twice_is_refused(tmp_path, target):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ml/ratings.csv", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ml/ratings.csv", "two")
    with pytest.raises(SourceError, match="is there twice"):
        unpack(tmp_path / "a.zip", WANTED, target)


def test_an_archive_of_something_else_says_what_it_holds(tmp_path, target):
    archive = make_zip(tmp_path / "a.zip", {"cats/cat.jpg": b"", "cats/dog.jpg": b""})
    with pytest.raises(SourceError, match=r"holds no ml/ratings.csv; it holds cats/cat.jpg, cats/dog.jpg"):
        unpack(archive, WANTED, target)


def test_a_cut_off_archive_is_one_line(tmp_path, target):
    archive = make_tar(tmp_path / "a.tar.gz", {"ml/ratings.csv": bytes(range(256)) * 400})
    archive.write_bytes(archive.read_bytes()[:600])
    with pytest.raises(SourceError, match="cannot be unpacked") as caught:
        unpack(archive, WANTED, target)
    assert "\n" not in str(caught.value)
